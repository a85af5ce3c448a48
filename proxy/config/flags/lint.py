"""What is wrong in a flag's targeting, and what is legal but not meant. A new check is one more method of `Lint`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from proxy.config.flags.targeting import operation_of
from proxy.config.problems import Report, nearest, quoted
from proxy.config.routes.drafts import Mentioned
from proxy.config.text.nodes import Mapping, Node, Scalar, Sequence, data
from proxy.core.deciding.facts import READABLE
from proxy.core.model import SHARE_TOTAL_BP
from proxy.core.targeting.bucketing import MOST_WEIGHT
from proxy.core.targeting.effort import MOST_STEPS, grows, most_steps
from proxy.core.targeting.logic import OPERATORS

if TYPE_CHECKING:
    from proxy.config.flags.targeting import Step

_ANY: Final = 1_000_000
ARGUMENTS: Final[dict[str, tuple[int, int]]] = {
    "!": (1, 1), "!!": (1, 1), "!=": (2, 2), "!==": (2, 2), "%": (2, 2), "*": (1, _ANY), "+": (1, _ANY), "-": (1, 2),
    "/": (2, 2), "<": (2, 3), "<=": (2, 3), "==": (2, 2), "===": (2, 2), ">": (2, 2), ">=": (2, 2), "?:": (3, 3),
    "all": (2, 2), "and": (1, _ANY), "cat": (1, _ANY), "ends_with": (2, 2), "filter": (2, 2), "fractional": (1, _ANY),
    "if": (1, _ANY), "in": (2, 2), "map": (2, 2), "max": (1, _ANY), "merge": (0, _ANY), "min": (1, _ANY),
    "missing": (0, _ANY), "missing_some": (2, 2), "none": (2, 2), "or": (1, _ANY), "reduce": (3, 3), "sem_ver": (3, 3),
    "some": (2, 2), "starts_with": (2, 2), "substr": (2, 3), "var": (0, 2),
}  # fmt: skip
"""How many arguments an operator takes (jsonlogic.com/operations; flagd, custom operations)."""

_OVER_ITEMS: Final = frozenset(("all", "filter", "map", "none", "reduce", "some"))
_COMPARING: Final = frozenset(("!=", "!==", "<", "<=", "==", "===", ">", ">=", "in"))
_GIVES_TRUTH: Final = _COMPARING | {"!", "!!", "all", "ends_with", "none", "sem_ver", "some", "starts_with"}
_PAIR: Final = 2
_PERCENT: Final = re.compile(r"[0-9]+%")
_USUAL_TOTALS: Final = (100, SHARE_TOTAL_BP)
_TEXT_FACTS: Final = frozenset(("account", "region", "targetingKey"))
_VERSION_OPERATORS: Final = ("=", "!=", "<", "<=", ">", ">=", "^", "~")


class Lint:
    """Walks one flag.

    Args:
        where: the keys that lead to its targeting.
        variants: name → value.
        timed: whether its metadata says that it may read the time.
    """

    def __init__(self, where: str, variants: dict[str, Any], report: Report, *, timed: bool) -> None:
        self.segments: list[Mentioned] = []
        self._where = where
        self._variants = variants
        self._report = report
        self._timed = timed

    def check(self, steps: list[Step]) -> None:
        """Check every clause, and how they follow each other."""
        self._effort(steps)
        for step in steps:
            self._alternates(step)
            if step.when is not None:
                self._expression(step.when, over_items=False)
            if step.then is not None:
                self._outcome(step.then)
                self._expression(step.then, over_items=False)
        if steps:
            self._for_everyone(steps[-1])

    # -- the order of clauses: a line too few leaves a flag that is legal and does something else

    def _effort(self, steps: list[Step]) -> None:
        written = [data(node) for step in steps for node in (step.when, step.then) if node is not None]
        taken = most_steps(written)
        if taken > MOST_STEPS:
            told = f"may take {taken} steps for one request; at most {MOST_STEPS}: shorten the lists, or name a segment"
            self._tell("costly-flag", steps[0].mark, told)
        elif grows(written):
            told = "a reduce reads its accumulator more than once, so what it gathers may double with every item"
            self._tell("costly-flag", steps[0].mark, told)

    def _alternates(self, step: Step) -> None:
        if isinstance(step.when, Scalar) and isinstance(step.when.value, str) and step.when.text in self._variants:
            told = f"{quoted(step.when.text)} stands where a condition belongs, and always holds; is a line missing before it?"
            self._tell("out-of-step", step.when, told)
        found = operation_of(step.then)
        if found is not None and found[0] in _GIVES_TRUTH and not {"true", "false"} & self._variants.keys():
            told = f"a condition stands where an outcome belongs, and {quoted(found[0])} names no variant; is a line missing before it?"
            self._tell("out-of-step", found[2], told)

    def _for_everyone(self, last: Step) -> None:
        asked, given = operation_of(last.when), operation_of(last.then)
        if asked is None or given is None or asked[0] != "in" or given[0] != "fractional" or len(asked[1]) != _PAIR:
            return
        name = asked[1][0]
        if isinstance(name, Scalar) and _variable_name(asked[1][1]) == "segments":
            told = (
                f"the share is asked only for {name.text}, and everyone else gets defaultVariant; "
                'is "new" or "legacy" missing before it?'
            )
            self._tell("share-for-some", given[2], told)

    def _tell(self, code: str, node: Node, text: str) -> None:
        self._report.tell(code, node, self._where, text)

    # -- expressions

    def _expression(self, node: Node, *, over_items: bool) -> None:
        if isinstance(node, Sequence):
            for item in node.items:
                self._expression(item, over_items=over_items)
        if not isinstance(node, Mapping):
            return
        found = operation_of(node)
        if found is None:
            names = ", ".join(node.entries) or "nothing"
            self._tell("not-an-operation", node, f"an operation is a mapping with one key, the operator; found {names}")
            return
        operator, arguments, mark = found
        if operator not in OPERATORS:
            told = f"unknown operator {quoted(operator)}{nearest(operator, OPERATORS)}"
            self._tell("unknown-operator", mark, told)
            return
        if not self._counted(operator, arguments, mark):
            return
        if operator == "var":
            self._variable(arguments, mark, over_items=over_items)
        elif operator == "fractional":
            self._fractional(arguments, mark)
        elif operator == "sem_ver":
            self._sem_ver(arguments)
        elif operator in _COMPARING:
            self._comparison(operator, arguments)
        inner = over_items or operator in _OVER_ITEMS
        for i, argument in enumerate(arguments):
            self._expression(argument, over_items=inner if i == 1 else over_items)

    def _counted(self, operator: str, arguments: list[Node], mark: Node) -> bool:
        least, most = ARGUMENTS[operator]
        if least <= len(arguments) <= most:
            return True
        takes = f"{least}" if least == most else f"{least} or more" if most == _ANY else f"{least} to {most}"
        self._tell("bad-arguments", mark, f"{quoted(operator)} takes {takes} arguments, not {len(arguments)}")
        return False

    def _variable(self, arguments: list[Node], mark: Node, *, over_items: bool) -> None:
        name = arguments[0] if arguments else None
        if isinstance(name, Mapping) and not over_items:
            self._needs_timed(mark, "reads a name that is computed, which may be the time")
        if not isinstance(name, Scalar):
            return
        first = name.text.split(".")[0]
        if name.text == "$flagd.timestamp":
            self._needs_timed(name, "reads $flagd.timestamp")
        elif first == "claims":
            self._tell("not-yet", name, "claims of signed tokens are not built yet; leave it out")
        elif first and first not in READABLE and not over_items:
            told = f"no request has a {quoted(first)}, so this is always null{nearest(first, READABLE)}"
            self._tell("unknown-variable", name, told)

    def _needs_timed(self, node: Node, why: str) -> None:
        if not self._timed:
            told = f"{why}, so the answer may change without anyone's edit; say so with metadata: {{timed: true}}"
            self._tell("needs-timed", node, told)

    def _comparison(self, operator: str, arguments: list[Node]) -> None:
        names = [_variable_name(argument) for argument in arguments]
        if operator == "in" and isinstance(arguments[0], Scalar) and names[1] == "segments":
            self.segments.append(Mentioned(name=arguments[0].text, mark=arguments[0], where=self._where))
        fact = next((name for name in names if name in _TEXT_FACTS), None)
        if fact is None:
            return
        for argument in arguments:
            for item in argument.items if isinstance(argument, Sequence) else [argument]:
                if (
                    isinstance(item, Scalar)
                    and isinstance(item.value, int | float)
                    and not isinstance(item.value, bool)
                ):
                    told = f'{item.text} is a number, and {fact} is text; write "{item.text}"'
                    self._tell("number-for-text", item, told)

    def _sem_ver(self, arguments: list[Node]) -> None:
        operator = arguments[1]
        if isinstance(operator, Scalar) and operator.value not in _VERSION_OPERATORS:
            told = f"{quoted(operator.text)} compares no versions; it takes {' '.join(_VERSION_OPERATORS)}"
            self._tell("unknown-value", operator, told)

    # -- fractional

    def _fractional(self, arguments: list[Node], mark: Node) -> None:
        shares = arguments if isinstance(arguments[0], Sequence) else arguments[1:]
        if not shares:
            self._tell("bad-share", mark, "a fractional needs shares, such as [[new, 5], [legacy, 95]]")
            return
        weights = [self._weight(share) for share in shares]
        known = [weight for weight in weights if weight is not None]
        if len(known) == len(shares) and not 0 < sum(known) <= MOST_WEIGHT:
            told = f"the shares add up to {sum(known)}; they must add up to 1 to {MOST_WEIGHT}"
            self._tell("bad-total", shares[0], told)
        elif len(known) == len(shares) and sum(known) not in _USUAL_TOTALS:
            self._odd_total(shares, known)
        values = [self._value_of(share) for share in shares]
        if "new" in values and "legacy" in values and values.index("legacy") < values.index("new"):
            told = "legacy stands first, so another share moves accounts that had moved already; put new first"
            self._tell("swapped", shares[values.index("legacy")], told)

    def _odd_total(self, shares: list[Node], weights: list[int]) -> None:
        """Legal, but whoever changed one weight alone gets another share than the one that stands there."""
        if not any(isinstance(share, Sequence) and len(share.items) == _PAIR for share in shares):
            return  # [[new], [legacy]]: equal parts, without numbers to misread
        total = sum(weights)
        of_new = sum(w for w, share in zip(weights, shares, strict=True) if self._value_of(share) == "new")
        listed = f"{', '.join(map(str, weights[:-1]))} and {weights[-1]}" if len(weights) > 1 else str(weights[0])
        share = f"{100 * of_new / total:.2f}".rstrip("0").rstrip(".")
        told = f"{listed} add{'s' if len(weights) == 1 else ''} up to {total}, so new gets {share} %; make them add up to 100 (or 10000)"
        self._tell("odd-total", shares[0], told)

    def _weight(self, share: Node) -> int | None:
        """A share's weight; None when it is computed or wrong."""
        if not isinstance(share, Sequence) or not 1 <= len(share.items) <= 2:
            self._tell("bad-share", share, "a share is a list of a variant and its weight, such as [new, 5]")
            return None
        joined = _joined(share)
        if joined is not None:
            told = f"{quoted(' '.join(joined))}: a share is [variant, weight], with a comma: [{', '.join(joined)}]"
            self._tell("bad-share", share.items[0], told)
            return None
        if len(share.items) == 1:
            return 1
        weight = share.items[1]
        if isinstance(weight, Mapping):
            self._needs_timed(weight, "computes a share")
            return None
        if isinstance(weight, Scalar) and isinstance(weight.value, int) and not isinstance(weight.value, bool):
            if weight.value >= 0:
                return weight.value
            self._tell("bad-share", weight, f"{weight.value} is below 0; nobody is 0")
            return None
        if isinstance(weight, Scalar) and _PERCENT.fullmatch(weight.text):
            told = f"a weight is a whole number, not {quoted(weight.text)}; write {weight.text[:-1]}, without %"
            self._tell("bad-share", weight, told)
            return None
        shown = quoted(weight.text) if isinstance(weight, Scalar) else "a list"
        self._tell("bad-share", weight, f"a weight is a whole number, not {shown}; out of 10 000 for two decimals")
        return None

    def _value_of(self, share: Node) -> Any:
        if isinstance(share, Sequence) and share.items and isinstance(share.items[0], Scalar):
            return self._variants.get(share.items[0].text)
        return None

    # -- outcomes

    def _outcome(self, node: Node) -> None:
        """Check every variant that may come out."""
        found = operation_of(node)
        if found is None:
            self._is_variant(node)
            return
        operator, arguments, _ = found
        if operator in ("if", "?:"):
            for i, argument in enumerate(arguments):
                if i % 2 or i == len(arguments) - 1:
                    self._outcome(argument)
        elif operator == "fractional" and arguments:
            for share in arguments if isinstance(arguments[0], Sequence) else arguments[1:]:
                if isinstance(share, Sequence) and share.items and _joined(share) is None:
                    self._outcome(share.items[0])

    def _is_variant(self, node: Node) -> None:
        if isinstance(node, Scalar):
            name = str(node.value).lower() if isinstance(node.value, bool) else node.value
            if node.value is not None and name not in self._variants:
                told = f"{quoted(node.text)} is no variant of this flag{nearest(node.text, self._variants)}"
                self._tell("unknown-variant", node, told)
        elif isinstance(node, Sequence):
            self._tell("unknown-variant", node, "a list is no variant; an outcome is a variant's name")


def _joined(share: Sequence) -> list[str] | None:
    """Variant and weight that YAML took for one text, because their comma is missing; None for anything else."""
    words = share.items[0].text.split() if isinstance(share.items[0], Scalar) else []
    return words if len(share.items) == 1 and len(words) == _PAIR and words[1].isdecimal() else None


def _variable_name(node: Node) -> str | None:
    found = operation_of(node)
    if found is None or found[0] != "var" or not found[1] or not isinstance(found[1][0], Scalar):
        return None
    return found[1][0].text
