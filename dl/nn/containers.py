"""Modules that hold modules: in a row, in a list, in a dict, and around one."""

from collections.abc import Iterable, Iterator

from dl.nn.module import Module
from dl.tensor import Tensor


def checked(module, where: str) -> Module:
    if not isinstance(module, Module):
        raise TypeError(f"{where}: wanted modules, got {type(module).__name__}")
    return module


def ordered(container: Module) -> tuple[Module, ...]:
    """The children as a tuple, kept until one changes."""
    order = container._order
    if order is None:
        order = container.__dict__["_order"] = tuple(container.children())
    return order


def renumber(container: Module, modules: Iterable[Module]) -> None:
    """Make these the children, named 0, 1, ..."""
    for name, _ in list(container.named_children()):
        del container.__dict__[name]
    container.__dict__["_order"] = None
    for i, module in enumerate(modules):
        setattr(container, str(i), checked(module, type(container).__name__))


def place(index: int, n: int, where: str) -> int:
    if not -n <= index < n:
        raise IndexError(f"{where}: index {index} of {n} modules")
    return index % n


class Sequential(Module):
    """Modules one after the other: Sequential(f, g)(x) = g(f(x)); names come from a dict, else they are 0, 1, ..."""

    def __init__(self, *modules):
        named = modules[0] if len(modules) == 1 and isinstance(modules[0], dict) else None
        pairs = named.items() if named is not None else ((str(i), m) for i, m in enumerate(modules))
        for name, module in pairs:
            setattr(self, name, checked(module, "Sequential"))

    def forward(self, x):
        for module in self._order or ordered(self):
            x = module.forward(x) if module._plain else module(x)
        return x

    def __len__(self) -> int:
        return len(ordered(self))

    def __iter__(self) -> Iterator[Module]:
        return iter(ordered(self))

    def __getitem__(self, index):
        if isinstance(index, slice):
            return Sequential(dict(list(self.named_children())[index]))
        return ordered(self)[place(index, len(self), "Sequential")]

    def __setitem__(self, index: int, module: Module):
        name = list(self.named_children())[place(index, len(self), "Sequential")][0]
        setattr(self, name, checked(module, "Sequential"))

    def append(self, module: Module) -> "Sequential":
        """Add one more at the end."""
        setattr(self, str(len(self)), checked(module, "Sequential"))
        return self

    def extend(self, modules: Iterable[Module]) -> "Sequential":
        """Add several at the end."""
        for module in modules:
            self.append(module)
        return self


class ModuleList(Module):
    """A list of modules that parameters() and state_dict() see; calling it is up to you."""

    def __init__(self, modules: Iterable[Module] = ()):
        renumber(self, modules)

    def forward(self, *args):
        raise TypeError("a ModuleList cannot be called: loop over it, or use nn.Sequential")

    def __len__(self) -> int:
        return len(ordered(self))

    def __iter__(self) -> Iterator[Module]:
        return iter(ordered(self))

    def __getitem__(self, index):
        if isinstance(index, slice):
            return ModuleList(ordered(self)[index])
        return ordered(self)[place(index, len(self), "ModuleList")]

    def __setitem__(self, index: int, module: Module):
        setattr(self, str(place(index, len(self), "ModuleList")), checked(module, "ModuleList"))

    def append(self, module: Module) -> "ModuleList":
        """Add one more at the end."""
        setattr(self, str(len(self)), checked(module, "ModuleList"))
        return self

    def extend(self, modules: Iterable[Module]) -> "ModuleList":
        """Add several at the end."""
        for module in modules:
            self.append(module)
        return self

    def insert(self, index: int, module: Module) -> None:
        """Put one in before the index."""
        modules = list(ordered(self))
        modules.insert(index, module)
        renumber(self, modules)


class ModuleDict(Module):
    """A dict of modules that parameters() and state_dict() see; calling it is up to you."""

    def __init__(self, modules: dict[str, Module] | None = None):
        self.update(modules or {})

    def forward(self, *args):
        raise TypeError("a ModuleDict cannot be called: call one of its modules, as in modules['name'](x)")

    def __len__(self) -> int:
        return len(self.keys())

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __contains__(self, name: str) -> bool:
        return name in self.keys()

    def __getitem__(self, name: str) -> Module:
        if name not in self:
            raise KeyError(f"ModuleDict: no module {name!r}; there are {', '.join(self.keys()) or 'none'}")
        return self.__dict__[name]

    def __setitem__(self, name: str, module: Module):
        if "." in name or not name or name in dir(ModuleDict):
            raise KeyError(f"ModuleDict: a name is not empty, has no dot and is no method's, got {name!r}")
        setattr(self, name, checked(module, "ModuleDict"))

    def __delitem__(self, name: str):
        _ = self[name]
        del self.__dict__[name]

    def keys(self) -> list[str]:
        """The names."""
        return [name for name, _ in self.named_children()]

    def values(self) -> list[Module]:
        """The modules."""
        return list(self.children())

    def items(self) -> list[tuple[str, Module]]:
        """Names and modules."""
        return list(self.named_children())

    def update(self, modules: dict[str, Module]) -> None:
        """Add or replace several."""
        for name, module in modules.items():
            self[name] = module


class Residual(Module):
    """x + f(x), with f a module that keeps the shape. Source: He et al., Deep residual learning, 2016, equation 1."""

    def __init__(self, module: Module):
        self.module = checked(module, "Residual")

    def forward(self, x) -> Tensor:
        return x + self.module(x)
