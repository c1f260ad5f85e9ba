"""Type of an argument that may hold substitutions."""

from .substitution import SomeSubstitutionsType, SomeSubstitutionsType_types_tuple

__all__ = ['SomeSubstitutionsType', 'SomeSubstitutionsType_types_tuple']
