"""pgd_list: the processes whose tables have copies of kernel entries, and the walk that visits them."""

from __future__ import annotations

from ..language import FALSE, TRUE, Bool, Locals, Map, State, Update, Var, forall
from ..machine.sorts import Cpu, Mm


class Walk(Locals):
    """Where a CPU is on the list: the processes that it has visited."""

    visited: Map[tuple[Cpu, Mm], Bool]


class PgdList(State):
    """on_list: the process is on ``pgd_list``; pgd_lock: whoever walks or changes the list holds it."""

    on_list: Map[Mm, Bool]
    pgd_lock: Var[Bool]
    walk: Walk

    def boot_list(self) -> list[Update]:
        """Nobody is on the list."""
        return [self.on_list.fill(lambda m: FALSE), self.pgd_lock.become(FALSE)]

    def begin_walk(self, cpu: Cpu) -> list[Update]:
        """``spin_lock(&pgd_lock)``, at the head of the list."""
        forget = self.walk.visited.fill(lambda c, m: FALSE, lambda c, m: c == cpu)
        return [self.pgd_lock.become(TRUE), forget]

    def visit(self, cpu: Cpu, m: Mm) -> Update:
        """The process has been visited; another is next."""
        return self.walk.visited.set((cpu, m), TRUE)

    def walk_is_over(self, cpu: Cpu) -> Bool:
        """The end of the list."""
        return forall(Mm, lambda m: self.on_list[m].implies(self.walk.visited[cpu, m]))

    def end_walk(self) -> Update:
        """``spin_unlock(&pgd_lock)``."""
        return self.pgd_lock.become(FALSE)
