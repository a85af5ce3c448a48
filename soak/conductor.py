"""What goes on while clients ask: faults and operations, drawn one after another, each noted with the time in which requests may fail because of it.

Operations (a change of share, a rollback, a reload, an upgrade …) and the death of control are no cause of any failure. A backend's death is one
only for the requests that it held: half a second later its other endpoint must have taken over.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from soak.clients import Clients
from soak.expected import History, Situation
from soak.oracle import Cause, Oracle
from soak.scene import Scene, now_s


@dataclass(slots=True)
class Conductor:
    """Draws what happens next.

    Attributes:
        done: how often each thing happened.
        rest_s: after each of them.
        wrong: what the proxy promised and didn't keep, beside requests.
        floods: accounts that asked far too much.
    """

    scene: Scene
    clients: Clients
    oracle: Oracle
    draw: random.Random
    rest_s: float = 1.0
    done: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    floods: list[str] = field(default_factory=list)
    _number: int = 0

    @property
    def history(self) -> History:
        """What is in force, and was."""
        return self.oracle.history

    async def run(self, acts: Sequence[tuple[Act, int]], until_s: float) -> None:
        """One thing after another, until a time: each once, in any order, then by lot.

        Args:
            acts: what may happen, each with its weight.
            until_s: when nothing new is begun.
        """
        queue = [act for act, _ in acts]
        self.draw.shuffle(queue)
        while now_s() < until_s:
            act: Act = queue.pop() if queue else self.draw.choices(*zip(*acts, strict=True))[0]
            if not await self.play(act):
                return

    async def play(self, act: Act) -> bool:
        """One thing, and a rest; gives whether everything agrees again."""
        name = act.__name__.replace("_", " ")
        self.done[name] += 1
        try:
            await act(self)
            await self.scene.settled()
            await self.scene.sound()
        except TimeoutError:
            self.wrong.append(f"{name}: it never came to rest")
            return False
        self.history.settle(now_s())
        await asyncio.sleep(self.rest_s)
        return True

    def reason(self, what: str) -> str:
        """One that no other command has."""
        self._number += 1
        return f"{what} {self._number}"

    async def change(self, to: Situation, action: str, *words: str) -> int:
        """Issue a command that changes what is in force; gives its exit code.

        Exit 0 means confirmed, 3 not yet (the window stays open until all workers agree), others that nothing changed.
        """
        self.history.begin(to, now_s())
        code = await self.scene.command(action, *words, reason=self.reason(action))
        match code:
            case 0:
                self.history.settle(now_s())
            case 3:
                await self.scene.settled()
                self.history.settle(now_s())
            case _:
                self.history.withdraw()
        return code

    def may_fail(
        self,
        name: str,
        since_s: float,
        *,
        lasting_only: bool = False,
        unanswered_only: bool = False,
        for_s: float = 0.0,
        system: str = "",
    ) -> None:
        """Note a cause that is over now, or in a while; the rest is as `Cause` has it."""
        cause = Cause(name, since_s, now_s() + for_s, lasting_only, system, unanswered_only)
        self.oracle.causes.append(cause)


Act = Callable[[Conductor], Awaitable[None]]
