"""The base of all networks: parameters, buffers and submodules by name, modes, and the way in and out of files."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from dl.nn.state import check_state, write
from dl.ops.base import as_tensor, standard
from dl.tape import detach, new_epoch, state
from dl.tensor import Tensor


def Parameter(data, requires_grad: bool = True) -> Tensor:
    """A tensor that a Module counts among its parameters once it is an attribute; shares the memory of data."""
    tensor = Tensor(as_tensor(data).array)
    tensor.requires_grad = requires_grad
    tensor._parameter = True
    return tensor


class Module(ABC):
    """A function with parameters; subclass it, make parameters and submodules attributes, and write forward.

    Attributes that are nn.Parameter, Module, or registered with register_buffer are found by parameters(), modules(),
    state_dict() and their like, in the order in which they were set. Lists, tuples and dicts of them are refused: use
    nn.ModuleList or nn.ModuleDict. training says in which mode it is (dropout, batch norm); see train() and eval().
    """

    training = True
    _buffers: dict[str, bool] = {}  # name -> whether it belongs to the state_dict
    _hooks: dict[int, Callable] = {}
    _plain = True  # calling it is calling forward: no hooks, no __call__ of its own
    _order: tuple | None = None  # the children as a tuple, where a container keeps one

    def __init_subclass__(cls, **named):
        super().__init_subclass__(**named)
        cls._plain = cls.__call__ is Module.__call__

    @abstractmethod
    def forward(self, *args, **kwargs) -> Any:
        """What the module computes."""

    def __call__(self, *args, **kwargs) -> Any:
        for listener in state.traces:
            listener.called(self)
        out = self.forward(*args, **kwargs)
        if self._hooks:
            for hook in tuple(self._hooks.values()):
                new = hook(self, args, out)
                out = out if new is None else new
        return out

    def __setattr__(self, name: str, value):
        if isinstance(value, (list, tuple, dict)):
            inside = value.values() if isinstance(value, dict) else value
            if any(isinstance(v, Module) or (isinstance(v, Tensor) and v._parameter) for v in inside):
                raise TypeError(
                    f"{type(self).__name__}.{name}: modules and parameters in a {type(value).__name__} would not be "
                    "found by parameters(); use nn.ModuleList or nn.ModuleDict"
                )
        old = self.__dict__.get(name)
        was = isinstance(old, Tensor) and old._parameter
        if was and value is not None and not (isinstance(value, Tensor) and value._parameter):
            raise TypeError(
                f"{type(self).__name__}.{name} is a parameter: assign an nn.Parameter, or change its values with "
                f".copy_() under dl.no_grad(); got {type(value).__name__}"
            )
        if isinstance(value, Module) or isinstance(old, Module):
            self.__dict__["_order"] = None
        self.__dict__[name] = value

    def __delattr__(self, name: str):
        self.__dict__["_order"] = None
        super().__delattr__(name)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that is part of the state but not trained; persistent=False keeps it out of state_dict()."""
        self.__dict__["_buffers"] = {**self._buffers, name: persistent}
        setattr(self, name, tensor)

    def register_parameter(self, name: str, parameter: Tensor | None) -> None:
        """Add a parameter by name; None: there could be one, but there is not."""
        setattr(self, name, parameter)

    def add_module(self, name: str, module: "Module") -> None:
        """Add a submodule by name."""
        setattr(self, name, module)

    def register_forward_hook(self, hook: Callable) -> Callable:
        """Call hook(module, args, output) after each forward; what it returns, if anything, replaces the output.

        Returns a function that removes the hook.
        """
        key = object()
        self.__dict__["_hooks"] = {**self._hooks, id(key): hook}
        self.__dict__["_plain"] = False

        def remove():
            self.__dict__["_hooks"] = {k: h for k, h in self._hooks.items() if k != id(key)}
            self.__dict__["_plain"] = type(self)._plain and not self._hooks

        return remove

    def named_children(self) -> Iterator[tuple[str, "Module"]]:
        """The direct submodules with their names."""
        return ((name, value) for name, value in self.__dict__.items() if isinstance(value, Module))

    def children(self) -> Iterator["Module"]:
        """The direct submodules."""
        return (module for _, module in self.named_children())

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, "Module"]]:
        """This module and all below it, each once, with dotted names; this one's is the prefix."""
        seen: set[int] = set()
        stack: list[tuple[str, Module]] = [(prefix, self)]
        while stack:
            name, module = stack.pop()
            if id(module) not in seen:
                seen.add(id(module))
                yield name, module
                below = [(f"{name}.{child}" if name else child, m) for child, m in module.named_children()]
                stack += reversed(below)

    def modules(self) -> Iterator["Module"]:
        """This module and all below it, each once."""
        return (module for _, module in self.named_modules())

    def _tensors(self) -> Iterator[tuple[str, Tensor, "Module", str]]:
        """Every (dotted name, tensor, owner, name there) that is a parameter or a buffer; shared ones repeatedly."""
        for prefix, module in self.named_modules():
            for name, value in module.__dict__.items():
                if isinstance(value, Tensor) and (value._parameter or name in module._buffers):
                    yield f"{prefix}.{name}" if prefix else name, value, module, name

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        """The parameters with dotted names, each once."""
        seen = set()
        for name, tensor, _, _ in self._tensors():
            if tensor._parameter and id(tensor) not in seen:
                seen.add(id(tensor))
                yield name, tensor

    def parameters(self) -> Iterator[Tensor]:
        """The parameters, each once: what an optimiser takes."""
        return (tensor for _, tensor in self.named_parameters())

    def named_buffers(self) -> Iterator[tuple[str, Tensor]]:
        """The buffers with dotted names."""
        return ((name, tensor) for name, tensor, _, _ in self._tensors() if not tensor._parameter)

    def buffers(self) -> Iterator[Tensor]:
        """The buffers."""
        return (tensor for _, tensor in self.named_buffers())

    def train(self, mode: bool = True):
        """Training mode for this module and all below it; returns the module."""
        for module in self.modules():
            module.__dict__["training"] = bool(mode)
        new_epoch()  # what dl.jit recorded in the other mode is not what to run now
        return self

    def eval(self):
        """Evaluation mode: no dropout, running statistics in batch norm; returns the module."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True):
        """Whether the parameters are to have gradients (freeze with False); returns the module."""
        for parameter in self.parameters():
            parameter.requires_grad = requires_grad
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the parameters' gradients, or fill them with zeros."""
        for parameter in self.parameters():
            if set_to_none or parameter.grad is None:
                parameter.grad = None
            else:
                write(parameter.grad, 0)

    def apply(self, fn: Callable[["Module"], None]):
        """Call fn on every submodule, then on this one; returns the module."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    def to(self, dtype):
        """All floating parameters and buffers in another dtype, in place, gradients forgotten; returns the module."""
        dtype = standard(dtype, "to")
        if dtype.kind != "f":
            raise TypeError(f"to: wanted float32 or float64, got {dtype}")
        for _, tensor, _, _ in self._tensors():
            if tensor.dtype.kind == "f" and tensor.dtype != dtype:
                tensor.grad = None
                tensor.array = tensor.array.astype(dtype)
        return self

    def float(self):
        """to(dl.float32)."""
        return self.to(np.float32)

    def double(self):
        """to(dl.float64)."""
        return self.to(np.float64)

    def state_dict(self) -> dict[str, Tensor]:
        """Parameters and persistent buffers by dotted name; they share memory with the module (dl.save copies)."""
        return {
            name: detach(tensor)
            for name, tensor, owner, own in self._tensors()
            if tensor._parameter or owner._buffers[own]
        }

    def load_state_dict(self, state, strict: bool = True) -> None:
        """Copy values (tensors or arrays by dotted name) into the parameters and buffers.

        Raises ValueError, and changes nothing, where names are missing or unexpected (unless strict=False) or shapes
        differ; the message lists all of them.
        """
        own = self.state_dict()
        check_state(type(self).__name__, own, state, strict)
        for name, tensor in own.items():
            if name in state:
                write(tensor, np.asarray(state[name].array if isinstance(state[name], Tensor) else state[name]))

    def extra_repr(self) -> str:
        """What repr shows in the parentheses."""
        return ""

    def __repr__(self) -> str:
        lines = [f"({name}): " + repr(child).replace("\n", "\n  ") for name, child in self.named_children()]
        if not lines:
            return f"{type(self).__name__}({self.extra_repr()})"
        return f"{type(self).__name__}(\n  " + "\n  ".join(lines) + "\n)"


def functional_call(module: Module, tensors: dict, args=(), kwargs: dict | None = None):
    """module(*args, **kwargs) with other values for some parameters and buffers, by dotted name.

    The module is as before afterwards; gradients flow to the given tensors. Raises KeyError for unknown names.
    """
    own = list(module._tensors())
    names = {name: tensor for name, tensor, _, _ in own}
    unknown = [name for name in tensors if name not in names]
    if unknown:
        raise KeyError(
            f"functional_call: no tensor {', '.join(unknown)} in {type(module).__name__}; it has {list(names)}"
        )
    given = {id(names[name]): value for name, value in tensors.items()}
    changed = [(owner, key, tensor) for _, tensor, owner, key in own if id(tensor) in given]
    try:
        for owner, key, tensor in changed:
            owner.__dict__[key] = as_tensor(given[id(tensor)])
        return module(*(args if isinstance(args, tuple) else (args,)), **(kwargs or {}))
    finally:
        for owner, key, tensor in changed:
            owner.__dict__[key] = tensor
