"""What a field of a configuration names: a dataset, a split, a model, or another run. Parents, checks, forms and presets derive from it."""

from collections.abc import Container, Iterator
from typing import Any, NamedTuple, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo


class Ref:
    """Stands in a field's annotation, `Annotated[str, Ref("reward")]`: dataset, split, model, or the kinds of run the field may name."""

    def __init__(self, *targets: str) -> None:
        self.targets = targets
        self.kinds = tuple(target for target in targets if target not in ("dataset", "split", "model"))  # of run

    def __repr__(self) -> str:
        return f"Ref({', '.join(map(repr, self.targets))})"


class Reference(NamedTuple):
    """One name in a configuration."""

    field: str
    ref: Ref
    name: str


def ref_of(field: FieldInfo) -> Ref | None:
    """What the field's values name, in a tuple or beside None too; None when they are plain values."""
    return next((part for part in (*field.metadata, *parts_of(field.annotation)) if isinstance(part, Ref)), None)


def parts_of(annotation: Any) -> Iterator[Any]:
    """Everything an annotation is made of, its metadata included."""
    for part in (*get_args(annotation), *getattr(annotation, "__metadata__", ())):
        yield part
        yield from parts_of(part)


def references(config: BaseModel) -> list[Reference]:
    """Every name in a configuration, in the order of its fields."""
    found = []
    for name, field in type(config).model_fields.items():
        if ref := ref_of(field):
            value = getattr(config, name)
            names = () if value is None else value if isinstance(value, tuple) else (value,)
            found += [Reference(name, ref, one) for one in names]
    return found


def parents_of(config: BaseModel, known: Container[str]) -> tuple[str, ...]:
    """The runs among `known` that a configuration names, each once: what must be done before it starts."""
    return tuple(dict.fromkeys(name for _, ref, name in references(config) if ref.kinds and name in known))
