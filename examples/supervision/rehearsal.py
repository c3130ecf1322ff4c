"""A test without threads: minutes pass at once, and a seed decides who goes on first, the same way every time."""

from collections import Counter

from actors.supervision import ChildSpec, Directory, Rehearsal, Seat, SupervisedActor, Supervisor, SupervisorSpec

Served = list[tuple[float, str]]


class Cook(SupervisedActor):
    """Tells the table its dish three minutes after that was ordered."""

    def on_receive(self, dish: str) -> None:
        """Begin."""
        self.dish, self.wake_at = dish, self.seat.clock() + 180

    def on_wake(self) -> None:
        """Serve."""
        self.tell("table", self.dish)


class Table(SupervisedActor):
    """Notes what it is served, and when; the first table falls over at its first dish."""

    def __init__(self, seat: Seat, served: Served) -> None:
        super().__init__(seat)
        self.served = served

    def on_receive(self, dish: str) -> None:
        """Take it."""
        if self.seat.generation == 1:
            raise RuntimeError(f"under the {dish}")
        self.served.append((self.seat.clock(), dish))


def rehearse(seed: int) -> tuple[Served, list[tuple[float, str]]]:
    """What is served when two orders are given at once, and the trace: who went on, and when."""
    served: Served = []
    rehearsal, directory = Rehearsal(seed), Directory()
    cooks = [ChildSpec(name=name, actor=Cook) for name in ("baker", "saucier")]
    table = ChildSpec(name="table", actor=Table, arguments={"served": served})
    spec = SupervisorSpec(name="kitchen", children=(table, *cooks))
    kitchen = Supervisor(spec, directory, on_report=lambda _: None, scheduler=rehearsal)
    kitchen.start()
    directory.tell("baker", "cake")
    directory.tell("saucier", "soup")
    rehearsal.run(seconds=600)
    kitchen.stop()
    return served, rehearsal.trace


for seed in (2, 3):
    print(f"seed {seed}:", *(f"{dish} after {seconds:g} seconds" for seconds, dish in rehearse(seed)[0]), sep="\n    ")
print("the same seed, the same trace:", rehearse(2) == rehearse(2))
print("a hundred seeds:", dict(Counter(" before ".join(dish for _, dish in rehearse(seed)[0]) for seed in range(100))))
