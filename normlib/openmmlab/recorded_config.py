"""Configs that checkpoints record as text: read without running them, and compared.

mmengine writes a config as Python, and would read it by running it. Here it is data: assignments of
literals and of ``dict(...)``.
"""

from __future__ import annotations

import ast
import keyword
import math
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from normlib.openmmlab.errors import CheckpointError

MOST_BYTES = 4 << 20
_MOST_TOKENS = 200_000
_MOST_DEPTH = 60  # brackets in each other
_CONSTANTS = ("None", "True", "False")
_NUMBERS = {"inf": math.inf, "nan": math.nan}
_TOKEN = re.compile(
    r"""(?P<blank>[ \t\r\n\f]+|\#[^\n]*)
    |(?P<triple>'{3}|"{3})
    |(?P<text>[bBrRuU]{0,2}(?:'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"))
    |(?P<number>(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)
    |(?P<name>[^\W\d]\w*)
    |(?P<open>[(\[{])
    |(?P<close>[)\]}])
    |(?P<sign>[-+])
    |(?P<mark>[,=:])
    |(?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
_SHOWN = 60
_ABSENT = object()


def read_recorded(text: str, where: str) -> dict[str, Any]:
    """Read the text of a config, running nothing.

    Args:
        text: As mmengine's ``Config.pretty_text`` gives it.
        where: What holds it, for messages.

    Returns:
        The config as plain dicts, lists, tuples, sets, texts, numbers, booleans and None.

    Raises:
        CheckpointError: It is longer than 4 MB or 200,000 words and signs, nested more than 60
            deep, or holds anything else; naming the line and what is there.
    """
    place = f"the config recorded in {where}"
    if len(text) > MOST_BYTES:
        raise CheckpointError(
            f"{place} has {len(text):,} characters; up to {MOST_BYTES:,} are read"
        )
    _check_tokens(text, place)
    try:
        module = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None)
        at = "" if line is None else f", line {line},"
        raise CheckpointError(f"{place}{at} cannot be read: {error}") from error
    reader = _Reader(place)
    content: dict[str, Any] = {}
    for statement in module.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)]):
                content[name] = reader.value(statement.value)
            case _:
                raise reader.refused(statement)
    return content


def differences(
    recorded: Mapping[str, Any], current: Mapping[str, Any], ignored: Collection[str] = ()
) -> list[str]:
    """How two configs differ, a line for each value: ``model.depth: 50, now 101``.

    Lists and tuples of the same entries are the same, and so are 1 and 1.0.

    Args:
        recorded: The earlier config.
        current: The one of now.
        ignored: Dotted keys to leave out, with all that is below them.
    """
    return list(_differences(recorded, current, "", frozenset(ignored)))


def _check_tokens(text: str, place: str) -> None:
    """Raise for what is no data, and for what could exhaust Python's parser.

    The parser goes into itself for brackets in brackets, and for chains of operators, calls and
    keywords; without the latter, the depth of brackets bounds it.
    """
    depth, count, before, last = 0, 0, "", ""
    for token in _TOKEN.finditer(text):
        kind, word = str(token.lastgroup), token[0]
        if kind == "blank":
            continue
        count += 1
        depth += (kind == "open") - (kind == "close")
        operand = before in ("text", "number", "name", "close")
        wrong = (
            kind in ("other", "triple")
            or depth > _MOST_DEPTH
            or count > _MOST_TOKENS
            or (kind == "sign" and operand)
            or (before == "sign" and kind not in ("number", "name"))
            or (kind == "open" and before in ("text", "number", "close"))
            or (kind == "text" and before == "name")
            or (kind == "name" and keyword.iskeyword(word) and word not in _CONSTANTS)
        )
        if wrong:
            line = 1 + text.count("\n", 0, token.start())
            what = repr(f"{last} {word}".strip())
            if depth > _MOST_DEPTH:
                what = f"{depth} brackets in each other"
            elif count > _MOST_TOKENS:
                what = f"a text of more than {_MOST_TOKENS:,} words and signs"
            raise CheckpointError(
                f"{place}, line {line}: {what} is no data; a recorded config holds literals "
                "and dict(...) alone"
            )
        before, last = kind, word


class _Reader:
    """Turns expressions into data; their depth is bounded."""

    def __init__(self, place: str) -> None:
        self.place = place

    def value(self, node: ast.expr) -> Any:
        match node:
            case ast.Constant(value=value) if value is not ...:
                return value
            case ast.Name(id=name) if name in _NUMBERS:
                return _NUMBERS[name]
            case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
                value = self.value(operand)
                if type(value) not in (int, float, complex):
                    raise self.refused(node)
                return -value if isinstance(node.op, ast.USub) else value
            case ast.List(elts=parts):
                return [self.value(part) for part in parts]
            case ast.Tuple(elts=parts):
                return tuple(self.value(part) for part in parts)
            case ast.Set(elts=parts):
                return {self.key(part) for part in parts}
            case ast.Dict(keys=keys, values=values):
                pairs = zip(keys, values, strict=True)
                return {self.key(key, node): self.value(value) for key, value in pairs}
            case ast.Call(func=ast.Name(id="dict"), args=[ast.Dict() as pairs], keywords=[]):
                return self.value(pairs)
            case ast.Call(func=ast.Name(id="dict"), args=[], keywords=pairs):
                return {self.named(pair.arg, node): self.value(pair.value) for pair in pairs}
            case ast.Call(func=ast.Name(id="set"), args=[], keywords=[]):
                return set()
        raise self.refused(node)

    def key(self, node: ast.expr | None, parent: ast.expr | None = None) -> Any:
        if node is None:  # {**other}
            raise self.refused(parent)
        value = self.value(node)
        try:
            hash(value)
        except TypeError:
            raise self.refused(node) from None
        return value

    def named(self, name: str | None, node: ast.expr) -> str:
        if name is None:  # dict(**other)
            raise self.refused(node)
        return name

    def refused(self, node: ast.AST | None) -> CheckpointError:
        line = getattr(node, "lineno", 1)
        code = ast.unparse(node) if node is not None else "a value"
        return CheckpointError(
            f"{self.place}, line {line}: {_short(code)} is no data; a recorded config holds "
            "literals and dict(...) alone"
        )


def _differences(recorded: Any, current: Any, path: str, ignored: frozenset[str]) -> Iterator[str]:
    if path in ignored:
        return
    start = f"{path}." if path else ""
    if isinstance(recorded, Mapping) and isinstance(current, Mapping):
        for key in dict.fromkeys([*recorded, *current]):
            before, now = recorded.get(key, _ABSENT), current.get(key, _ABSENT)
            yield from _differences(before, now, f"{start}{key}", ignored)
    elif _is_list(recorded) and _is_list(current) and len(recorded) == len(current):
        for place, (before, now) in enumerate(zip(recorded, current, strict=True)):
            yield from _differences(before, now, f"{start}{place}", ignored)
    elif not _same(recorded, current):
        yield f"{path}: {_told(recorded)}, now {_told(current)}"


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float) and one != one and other != other:
        return True
    return bool(one == other)


def _told(value: Any) -> str:
    return "absent" if value is _ABSENT else _short(repr(value))


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 4]} ..."
