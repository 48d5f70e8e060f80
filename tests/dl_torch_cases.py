"""Layers whose results PyTorch recorded in tests/reference/dl_torch.json (written by benchmarks/golden_dl.py).

(name, arguments, shapes of the inputs, masks or other arguments of the call); all values come from `wave`.
"""

import numpy as np


def wave(k: int, shape) -> np.ndarray:
    """Numbers that need no random generator: 0.6 sin(k + 1 + 1.7 i)."""
    return 0.6 * np.sin(k + 1 + 1.7 * np.arange(int(np.prod(shape)))).reshape(shape)


def filled(state: dict) -> dict:
    """Values for the tensors of a state_dict, by their places."""
    made = {}
    for k, (name, value) in enumerate(item for item in state.items() if not item[0].endswith("num_batches_tracked")):
        made[name] = np.abs(wave(k, value.shape)) + 0.5 if name.endswith("running_var") else wave(k, value.shape)
    return made


PADDING = np.array([[False] * 4, [False, False, True, True]])
LATER = ~np.tri(4, dtype=bool)
NEAR = ~np.tri(3, 4, 1, dtype=bool)
LAYER = {"d_model": 4, "nhead": 2, "dim_feedforward": 6, "dropout": 0.0}
RECURRENT = {"input_size": 3, "hidden_size": 2}

CASES = [
    ("RNN", {**RECURRENT, "nonlinearity": "relu"}, [(4, 2, 3)], {}),
    ("RNN", {**RECURRENT, "num_layers": 2, "bidirectional": True}, [(4, 2, 3)], {}),
    ("LSTM", RECURRENT, [(4, 2, 3)], {}),
    ("LSTM", {**RECURRENT, "num_layers": 2, "bidirectional": True, "batch_first": True}, [(2, 4, 3)], {}),
    ("LSTM", {**RECURRENT, "bias": False}, [(4, 3)], {}),
    ("GRU", RECURRENT, [(4, 2, 3)], {}),
    ("GRU", {**RECURRENT, "num_layers": 2, "bidirectional": True}, [(4, 2, 3)], {}),
    ("LSTMCell", RECURRENT, [(2, 3)], {}),
    ("GRUCell", RECURRENT, [(2, 3)], {}),
    ("RNNCell", RECURRENT, [(2, 3)], {}),
    ("MultiheadAttention", {"embed_dim": 4, "num_heads": 2}, [(3, 2, 4), (4, 2, 4), (4, 2, 4)], {}),
    (
        "MultiheadAttention",
        {"embed_dim": 4, "num_heads": 2, "batch_first": True},
        [(2, 3, 4), (2, 4, 4), (2, 4, 4)],
        {"key_padding_mask": PADDING, "attn_mask": NEAR, "average_attn_weights": False},
    ),
    (
        "MultiheadAttention",
        {"embed_dim": 4, "num_heads": 2, "kdim": 3, "vdim": 5},
        [(3, 2, 4), (4, 2, 3), (4, 2, 5)],
        {"need_weights": False, "attn_mask": wave(9, (4, 3, 4))},
    ),
    ("TransformerEncoderLayer", LAYER, [(4, 2, 4)], {"src_mask": LATER}),
    (
        "TransformerEncoderLayer",
        {**LAYER, "norm_first": True, "activation": "gelu", "batch_first": True},
        [(2, 4, 4)],
        {"src_key_padding_mask": PADDING},
    ),
    ("TransformerDecoderLayer", LAYER, [(3, 2, 4), (4, 2, 4)], {"memory_key_padding_mask": PADDING}),
    ("TransformerDecoderLayer", {**LAYER, "norm_first": True}, [(4, 2, 4), (4, 2, 4)], {"tgt_mask": LATER}),
    ("BatchNorm1d", {"num_features": 3}, [(4, 3, 2)], {}),
    ("BatchNorm2d", {"num_features": 3, "momentum": 0.3}, [(2, 3, 2, 2)], {}),
    (
        "ConvTranspose2d",
        {
            "in_channels": 4,
            "out_channels": 2,
            "kernel_size": 3,
            "stride": 2,
            "padding": 1,
            "output_padding": 1,
            "groups": 2,
        },
        [(1, 4, 3, 2)],
        {},
    ),
    (
        "Conv1d",
        {"in_channels": 4, "out_channels": 6, "kernel_size": 4, "padding": "same", "dilation": 2, "groups": 2},
        [(2, 4, 7)],
        {},
    ),
    ("GroupNorm", {"num_groups": 2, "num_channels": 4}, [(2, 4, 3)], {}),
    ("RMSNorm", {"normalized_shape": 4}, [(2, 4)], {}),
]
