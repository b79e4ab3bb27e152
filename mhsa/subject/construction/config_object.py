"""A configuration for constructors that take one object: it answers what ``__init__`` reads, by the same names as arguments.

It is a dict whose items are attributes, too, for ``config.n_head`` and ``config["n_head"]``. A name that is not known is an
AttributeError or a KeyError, as in any configuration without it; the message says how to state it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mhsa.records.contract import PLAIN, Contract
from mhsa.subject.construction.argument_roles import SIZED, WORDS, Role, WidthReading, role_of, size_at_the_end, value_of
from mhsa.subject.construction.config_source import NO_DEFAULT, Source
from mhsa.subject.construction.declared_options import UNDECLARED, declared_option

_ABSENT = object()
# What configurations of public models hold, as those models are usually built: no cache, no cross-attention, no rotary
# scaling, the plain implementation.
USUAL: dict[str, Any] = {
    "is_decoder": False, "add_cross_attention": False, "is_cross_attention": False, "output_attentions": False,
    "output_attention": False, "output_hidden_states": False, "use_cache": False, "torchscript": False, "causal": False,
    "is_causal": False, "scale_attn_weights": True, "scale_attn_by_inverse_layer_idx": False, "flash": False,
    "reorder_and_upcast_attn": False, "gradient_checkpointing": False, "flash_attn": False, "use_flash": False,
    "use_flash_attention": False, "use_flash_attn": False, "flash_attention": False, "use_sdpa": False,
    "position_embedding_type": "absolute", "_attn_implementation": "eager", "attn_implementation": "eager",
    "layer_norm_eps": 1e-5, "layer_norm_epsilon": 1e-5, "rms_norm_eps": 1e-5, "norm_eps": 1e-5, "eps": 1e-5,
    "initializer_range": 0.02, "hidden_act": "gelu", "activation": "gelu", "rope_theta": 10000.0, "rope_scaling": None,
    "sliding_window": None, "chunk_size_feed_forward": 0, "qk_norm": False, "qk_layernorm": False, "use_qk_norm": False,
    "n_layer": 2, "n_layers": 2, "num_layers": 2, "num_hidden_layers": 2, "vocab_size": 100, "batch_size": 2,
    "device": "cpu", "dtype": None, "torch_dtype": None, "sinusoidal_pos_embds": False, "clip_qkv": None,
}  # fmt: skip


@dataclass
class Answered:
    """What a constructor read from a configuration, for the report: names with their values, and names without one."""

    values: dict[str, Any] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    items: bool = False  # config["n_head"], not config.n_head
    guessed: dict[str, str] = field(default_factory=dict)  # what was given for names that nothing is known of, in words
    guessed_roles: dict[str, Role] = field(default_factory=dict)
    inside: dict[str, Answered] = field(default_factory=dict)  # of configurations in it: config.transformer["num_heads"]

    @property
    def roles(self) -> set[Role]:
        """What the names stood for."""
        own = {role for name in self.values if (role := self.guessed_roles.get(name, role_of(name))) is not None}
        return own.union(*(x.roles for x in self.inside.values()))

    def all_missing(self) -> list[str]:
        """Return ``missing`` with that of configurations inside, by the path to each."""
        return [*self.missing, *(f"{name}.{x}" for name, inner in self.inside.items() for x in inner.all_missing())]

    def all_guessed(self) -> dict[str, str]:
        """Return ``guessed`` with that of configurations inside, by the path to each."""
        below = {f"{name}.{x}": w for name, inner in self.inside.items() for x, w in inner.all_guessed().items()}
        return self.guessed | below


class Config(dict[str, Any]):
    """A configuration for these sizes.

    Attributes of a name with a leading underscore that is not in ``USUAL`` are not there: copying and printing look for them.
    """

    def __init__(
        self, argument: str, head: int, d_model: int, rate: float, reading: WidthReading,
        given: Mapping[str, Any], source: Source, answered: Answered, kv_heads: int | None = None,
        contract: Contract = PLAIN,
    ) -> None:  # fmt: skip
        super().__init__()
        self.__dict__.update(
            _argument=argument, _sizes=(head, d_model, rate, reading), _given=dict(given), _source=source, _answered=answered,
            _kv_heads=kv_heads, _contract=contract,
        )  # fmt: skip

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or "_answered" not in self.__dict__:
            raise AttributeError(name)
        value = self._read(name)
        if value is _ABSENT:
            raise AttributeError(self._missing(name))
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        self._given[name] = value

    def __missing__(self, name: str) -> Any:
        self._answered.items = True
        value = self._read(name) if isinstance(name, str) else _ABSENT
        if value is _ABSENT:
            raise KeyError(self._missing(name))
        return value

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._answer(name) is not _ABSENT

    def get(self, name: str, default: Any = None) -> Any:
        """Return a size or a rate; anything else is left at the default that the code has for it."""
        self._answered.items = True
        left = {"head width", "other width"} if self._kv_heads else {"kv head", "head width", "other width"}
        known = name in self._given or role_of(name) in SIZED - left or self._declared(name) is not UNDECLARED
        return self[name] if known else default

    def __reduce__(self) -> Any:
        # As a dict it is empty: what it answers is in its attributes, which a copy shall have, too.
        return _again, (dict(self.__dict__), dict(self))

    def __repr__(self) -> str:
        return self.written({name: repr(value) for name, value in self.known().items()})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Config) and self.known() == other.known()

    __hash__ = None

    def written(self, values: Mapping[str, str]) -> str:
        """Return a configuration with these values as it is written in Python without mhsa."""
        if self._answered.items:
            return f"{{{', '.join(f'{name!r}: {value}' for name, value in values.items())}}}"
        return f'__import__("types").SimpleNamespace({", ".join(f"{name}={value}" for name, value in values.items())})'

    def known(self) -> dict[str, Any]:
        """Return what the constructor has read, with the values for these sizes."""
        return {name: self._read(name) for name in list(self._answered.values)}

    def _answer(self, name: str) -> Any:
        if name in self._given:
            value = self._given[name]
        elif (declared := self._declared(name)) is not UNDECLARED:
            value = declared
        elif name in self._source.absent:
            return _ABSENT
        elif (role := role_of(name)) is not None:
            value = value_of(role, *self._sizes, kv_heads=self._kv_heads)
        elif name in USUAL:
            value = USUAL[name]
        elif name == "pruned_heads":
            value = {}
        elif (default := self._source.default(name)) is not NO_DEFAULT:
            value = default
        else:
            return _ABSENT
        self._answered.values[name] = value
        return value

    def _declared(self, name: str) -> Any:
        """Return what the contract declares of the feature that a name states."""
        if role_of(name) in SIZED:
            return UNDECLARED
        head, d_model, _, _ = self._sizes
        return declared_option(name, self._contract, d_model // head)

    def _read(self, name: str) -> Any:
        """Return the answer to a name that must be there: if it is not known, one that the source suggests."""
        value = self._answer(name)
        if value is not _ABSENT or name in self._source.optional or name.startswith("_"):
            return value
        if self._source.is_read_further(name):
            prefix, answered = f"{name}.", self._answered.inside.setdefault(name, Answered())
            given = {n.removeprefix(prefix): v for n, v in self._given.items() if n.startswith(prefix)}
            head, d_model, rate, reading = self._sizes
            value = Config(
                f"{self._argument}.{name}", head, d_model, rate, reading, given, self._source, answered, self._kv_heads,
                self._contract,
            )  # fmt: skip
        elif (guess := self._source.guess(name)) is not None:
            value = value_of(guess.role, *self._sizes) if guess.role is not None else guess.value
            self._answered.guessed[name] = guess.words
            self._answered.guessed_roles |= {name: guess.role} if guess.role is not None else {}
        if value is not _ABSENT:
            self._answered.values[name] = value
        return value

    def _missing(self, name: str) -> str:
        if name not in (*self._answered.missing, *self._source.absent):  # what is only looked for is not missing
            self._answered.missing.append(name)
        return (
            f"{self._argument}.{name} is read, and mhsa does not know what to give; "
            f"state it: --argument {self._argument}.{name}=VALUE"
        )


def _again(attributes: dict[str, Any], items: dict[str, Any]) -> Config:
    config = Config.__new__(Config)
    config.__dict__.update(attributes)
    config.update(items)
    return config


def described(answered: Answered) -> list[str]:
    """Return in words what was given that is neither a size nor a rate."""
    words = []
    for name, value in answered.values.items():
        role = role_of(name)
        if name in answered.guessed:
            continue
        if name in answered.inside:
            words.append(f"{name} made in the same way")
        elif role is None:
            words.append(f"{name}={value!r}")
        elif end := size_at_the_end(name):
            words.append(f"{name} (as {end})")
        elif role in WORDS:
            words.append(f"{name} ({WORDS[role]})")
    return words
