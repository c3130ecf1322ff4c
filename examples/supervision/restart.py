"""Pykka's issue 42: an actor dies of a message. A watcher sees it, and the next message is handled all the same."""

from actors.supervision import ChildSpec, Died, Directory, Event, Report, SupervisedActor, Supervisor, SupervisorSpec


class Child(SupervisedActor):
    """Answers what it is asked, and dies when it is told to."""

    def on_receive(self, message: dict[str, str]) -> str:
        """Say how things are."""
        if message["command"] == "throw me an exception!":
            raise ValueError("as you wish")
        return f"Everything is great! says child number {self.seat.generation}"


events: list[Event] = []
reports: list[Report] = []
directory = Directory()
spec = SupervisorSpec(name="parent", children=(ChildSpec(name="child", actor=Child, poison_after=0),))
parent = Supervisor(spec, directory, on_report=reports.append)
parent.watch(events.append)
parent.start()
directory.tell("child", {"command": "throw me an exception!"})
print(directory.ask("child", {"command": "how are you?"}, timeout=5))
parent.stop()

for event in events:
    print(f"Died: {event.exception!r}" if isinstance(event, Died) else type(event).__name__)
for report in reports:
    print(report.line())
