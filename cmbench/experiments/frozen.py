"""The base of what is read from suites and stored in results: immutable, and strict about what it is given."""

from __future__ import annotations

from typing import Any, ClassVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator


class Frozen(BaseModel):
    """Immutable, strict about unknown keys, and without silent conversions from strings."""

    # Built when first used: a command that lists or helps validates nothing.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, allow_inf_nan=False, defer_build=True)

    unless_default: ClassVar[tuple[str, ...]] = ()
    """Fields that stand in a run's identity and result only where they are set: no other run changes by them."""

    def document(self) -> dict[str, Any]:
        """The settings as they stand in a run's identity and in its result."""
        document = self.model_dump(mode="json")
        for name in self.unless_default:
            if getattr(self, name) == type(self).model_fields[name].default:
                del document[name]
        return document

    @field_validator("*", mode="before")
    @classmethod
    def _no_silent_conversion(cls, value: Any, info: ValidationInfo) -> Any:
        annotation = cls.model_fields[info.field_name or ""].annotation
        is_number = (
            not {annotation, *get_args(annotation)}.isdisjoint((int, float)) and get_origin(annotation) is not tuple
        )
        if isinstance(value, str) and is_number:
            raise ValueError(f"a number is wanted, not the text {value!r}")
        if isinstance(value, bool) and is_number:
            raise ValueError(f"a number is wanted, not {value}")
        return value
