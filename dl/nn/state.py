"""Values going into tensors: checks with one message that lists everything, and the write itself."""

import numpy as np

from dl.tape import changed
from dl.tensor import Tensor


def write(tensor: Tensor, values) -> None:
    """Overwrite the values of a tensor, outside of any record; derivatives that wanted the old ones will refuse."""
    changed(tensor)
    tensor.array[...] = values


def check_state(name: str, own: dict[str, Tensor], state, strict: bool) -> None:
    """Raise one ValueError with all that does not fit between a module's state and a given one."""
    try:
        shapes = {key: tuple(np.shape(v.array if isinstance(v, Tensor) else v)) for key, v in state.items()}
    except AttributeError:
        raise TypeError(f"load_state_dict: wanted a dict of tensors by name, got {type(state).__name__}") from None
    faults = []
    if strict:
        missing = [key for key in own if key not in shapes]
        unexpected = [key for key in shapes if key not in own]
        faults += [f"  missing: {', '.join(missing)}"] if missing else []
        faults += [f"  unexpected: {', '.join(unexpected)}"] if unexpected else []
    faults += [
        f"  {key}: wanted shape {list(own[key].shape)}, got {list(shape)}"
        for key, shape in shapes.items()
        if key in own and own[key].shape != shape
    ]
    if faults:
        raise ValueError(
            f"load_state_dict: the state does not fit {name}; nothing was loaded:\n" + "\n".join(faults) + "\n"
            "Build the module with the arguments it was saved with, rename the keys, or pass strict=False to load only "
            "those that are in both"
        )
