"""Small changes to a file's source, each a plausible mistake, for mutation testing to draw from.

Peers such as cosmic-ray change operators and constants; code full of tensors breaks more often by a swapped reduction,
a dropped argument or a lost statement, so these are here too. Text, annotations, imports and messages of errors are
not changed: no number depends on them.
"""

import ast
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

Maker = Callable[[ast.AST, "_Source"], Iterator[ast.AST | str]]
"""A node and its file -> replacements, as trees or as text."""

COMPARISONS = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
ARITHMETIC = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
TWINS = {
    "min": "max", "max": "min", "argmin": "argmax", "argmax": "argmin", "minimum": "maximum", "maximum": "minimum",
    "clamp_min": "clamp_max", "clamp_max": "clamp_min", "amin": "amax", "amax": "amin", "floor": "ceil",
    "ceil": "floor", "any": "all", "all": "any", "mean": "sum", "sum": "mean", "std": "var", "var": "std",
    "square": "abs", "abs": "square",
}  # fmt: skip
"""Functions and methods that are easily confused."""
NOTHING_ELSE = {"abs", "clone", "detach", "double", "relu", "square", "deepcopy", "round", "reversed"}
"""Calls that can be left out, keeping their argument."""


@dataclass(frozen=True)
class Change:
    """``new`` in place of the bytes ``start`` to ``end`` of ``file``; ``kind`` is the maker's name."""

    file: Path
    line: int
    kind: str
    start: int
    end: int
    old: str
    new: str

    def applied(self, source: bytes) -> bytes:
        """The file's source with the change."""
        return source[: self.start] + self.new.encode() + source[self.end :]


class _Source:
    """A parsed file, and the nodes that are never changed."""

    def __init__(self, file: Path) -> None:
        self.raw = file.read_bytes()
        self.tree = ast.parse(self.raw)
        self.parent = {child: node for node in ast.walk(self.tree) for child in ast.iter_child_nodes(node)}
        lines = self.raw.split(b"\n")
        self._starts = [0]
        for line in lines:
            self._starts.append(self._starts[-1] + len(line) + 1)
        self.left_alone = {part for node in ast.walk(self.tree) for part in _left_alone(node)}

    def span(self, node: ast.AST) -> tuple[int, int]:
        """First byte of a node, and the one after its last."""
        place: ast.expr = node
        assert place.end_lineno is not None and place.end_col_offset is not None
        return (
            self._starts[place.lineno - 1] + place.col_offset,
            self._starts[place.end_lineno - 1] + place.end_col_offset,
        )

    def text(self, node: ast.AST) -> str:
        """The source text of a node."""
        start, end = self.span(node)
        return self.raw[start:end].decode()


def _left_alone(node: ast.AST) -> Iterator[ast.AST]:
    """The parts of ``node`` that are never changed."""
    roots: list[ast.AST | None] = []
    if isinstance(node, ast.FunctionDef):
        roots = [node.returns, *node.decorator_list]
    elif isinstance(node, ast.arg | ast.AnnAssign):
        roots = [node.annotation]
    elif isinstance(node, ast.Raise | ast.Assert | ast.JoinedStr | ast.Import | ast.ImportFrom):
        roots = [node]
    elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Subscript) and "Callable" in ast.dump(node.value):
        roots = [node]  # the name of a type
    for root in roots:
        if root is not None:
            yield from ast.walk(root)


def _edited(node: ast.AST, edit: Callable[[ast.AST], None]) -> ast.AST:
    other = copy.deepcopy(node)
    edit(other)
    return other


def comparison(node: ast.AST, source: _Source) -> Iterator[ast.AST | str]:
    """< for <=, == for !=."""
    if isinstance(node, ast.Compare):
        yield _edited(node, lambda n: n.ops.__setitem__(0, COMPARISONS[type(n.ops[0])]()))


def arithmetic(node: ast.AST, source: _Source) -> Iterator[ast.AST | str]:
    """+ for -, * for /."""
    if isinstance(node, ast.BinOp) and type(node.op) in ARITHMETIC:
        sides = (node.left, node.right)
        joined = any(isinstance(s, ast.List | ast.Tuple | ast.JoinedStr) or _is_text(s) for s in sides)
        if not joined:
            yield _edited(node, lambda n: setattr(n, "op", ARITHMETIC[type(node.op)]()))
    elif isinstance(node, ast.AugAssign) and type(node.op) in ARITHMETIC and not isinstance(node.value, ast.List):
        yield _edited(node, lambda n: setattr(n, "op", ARITHMETIC[type(node.op)]()))


def constant(node: ast.AST, source: _Source) -> Iterator[ast.AST | str]:
    """A slightly larger number, a negated boolean."""
    if isinstance(node, ast.Constant) and not isinstance(source.parent.get(node), ast.Expr):
        if isinstance(node.value, bool):
            yield str(not node.value)
        elif isinstance(node.value, int):
            yield str(node.value + 1)
        elif isinstance(node.value, float):
            yield repr(node.value * 1.2 if node.value else 0.1)


def condition(node: ast.AST, source: _Source) -> Iterator[ast.AST | str]:
    """A condition negated, left out, or without its last part."""
    parent = source.parent.get(node)
    if isinstance(parent, ast.If | ast.While | ast.IfExp) and parent.test is node:
        yield f"(not ({source.text(node)}))"
    if isinstance(parent, ast.comprehension) and node in parent.ifs:
        yield "(True)"
    if isinstance(node, ast.BoolOp):
        other = ast.Or if isinstance(node.op, ast.And) else ast.And
        yield _edited(node, lambda n: setattr(n, "op", other()))
        yield _edited(node, lambda n: n.values.pop())
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub | ast.Invert):
        yield node.operand


def argument(node: ast.AST, source: _Source) -> Iterator[ast.AST | str]:
    """A named argument left out."""
    if isinstance(node, ast.Call):
        for index, keyword in enumerate(node.keywords):
            if keyword.arg:
                yield _edited(node, lambda n, i=index: n.keywords.pop(i))


def function(node: ast.AST, source: _Source) -> Iterator[ast.AST | str]:
    """A similar function (min for max, mean for sum), another order of arguments, or no call at all."""
    if not isinstance(node, ast.Call):
        return
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    if name in TWINS and not (isinstance(node.func, ast.Name) and name in ("abs", "sum")):
        field = "attr" if isinstance(node.func, ast.Attribute) else "id"
        yield _edited(node, lambda n: setattr(n.func, field, TWINS[name]))
    if name == "sorted" and node.args:
        yield f"list({source.text(node.args[0])})"
    if name in NOTHING_ELSE:
        if isinstance(node.func, ast.Attribute) and not node.args and not node.keywords:
            yield node.func.value
        elif isinstance(node.func, ast.Name) and len(node.args) == 1:
            yield node.args[0]


def statement(node: ast.AST, source: _Source) -> Iterator[ast.AST | str]:
    """A statement left out: a call, an assignment to a part, a second assignment to a name, a jump."""
    called = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    if called or isinstance(node, ast.AugAssign | ast.Break | ast.Continue):
        yield "pass"
    elif isinstance(node, ast.Assign):
        target = node.targets[0]
        again = isinstance(target, ast.Name) and any(
            isinstance(part, ast.Name) and part.id == target.id for part in ast.walk(node.value)
        )
        if again or isinstance(target, ast.Attribute | ast.Subscript):
            yield "pass"


def result(node: ast.AST, source: _Source) -> Iterator[ast.AST | str]:
    """A returned number, one per cent larger; a returned boolean, negated."""
    if not isinstance(node, ast.Return) or node.value is None:
        return
    owner: ast.AST = node
    while not isinstance(owner, ast.FunctionDef):
        owner = source.parent[owner]
    kind = ast.unparse(owner.returns) if owner.returns is not None else ""
    if kind in ("Tensor", "float", "int", "np.ndarray"):
        yield f"return ({source.text(node.value)}) * 1.01"
    elif kind == "bool":
        yield f"return not ({source.text(node.value)})"


MAKERS: tuple[Maker, ...] = (comparison, arithmetic, constant, condition, argument, function, statement, result)


def changes(file: Path) -> list[Change]:
    """Every change to ``file`` that leaves it valid Python."""
    source = _Source(file)
    found = []
    for node in ast.walk(source.tree):
        if node in source.left_alone or not hasattr(node, "lineno"):
            continue
        for maker in MAKERS:
            for made in maker(node, source):
                start, end = source.span(node)
                text = made if isinstance(made, str) else _written(made)
                change = Change(file, node.lineno, maker.__name__, start, end, source.text(node), text)
                if text != change.old and _is_valid(change.applied(source.raw)):
                    found.append(change)
    return found


def _written(node: ast.AST) -> str:
    text = ast.unparse(ast.fix_missing_locations(node))
    whole = not isinstance(node, ast.expr) or isinstance(node, ast.Constant | ast.Name | ast.Attribute | ast.Call)
    return text if whole else f"({text})"


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _is_valid(source: bytes) -> bool:
    try:
        ast.parse(source)
    except SyntaxError:
        return False
    return True
