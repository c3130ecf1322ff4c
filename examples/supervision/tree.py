"""A weather station: one supervisor below another, a crash that takes its neighbour along, and a hang."""

import queue
import threading

from actors.supervision import ChildSpec, Directory, Event, Report, SupervisedActor, Supervisor, SupervisorSpec


class Wire(SupervisedActor):
    """Leads up the mast. The first breaks in a gust of strength 2, the second in one of strength 3."""

    def on_receive(self, gust: int) -> None:
        """Hold, or break."""
        if self.seat.generation < gust:
            raise ConnectionError("it broke")


class Camera(SupervisedActor):
    """The first waits for a picture that does not come."""

    def on_start(self) -> None:
        """Nothing has come yet."""
        self.picture = threading.Event()

    def on_receive(self, _: str) -> None:
        """Take a picture."""
        if self.seat.generation == 1:
            self.picture.wait()

    def on_retired(self) -> None:
        """Wait no longer, so that the thread that is left behind ends."""
        self.picture.set()


wire, vane = ChildSpec(name="wire", actor=Wire), ChildSpec(name="vane", actor=SupervisedActor)
mast = SupervisorSpec(name="mast", children=(wire, vane), strategy="rest_for_one", max_restarts=1, within_seconds=3600)
camera = ChildSpec(name="camera", actor=Camera, hang_seconds=1)
heard: queue.Queue[Event] = queue.Queue()
reports: list[Report] = []
directory = Directory()
station = Supervisor(SupervisorSpec(name="station", children=(mast, camera)), directory, on_report=reports.append)
station.watch(heard.put)


def show(what: str, until: str) -> None:
    """Print in one line what has become of whom."""
    events: list[str] = []
    while until not in events:
        event = heard.get()
        events.append(f"{type(event).__name__} {event.name}")
    print(f"{what}: {', '.join(events)}")


station.start()
show("start", until="Started camera")
directory.tell("wire", 2)
show("gust 2", until="Started vane")
directory.tell("wire", 3)
show("gust 3", until="Started mast")
directory.tell("camera", "click")
show("click", until="Started camera")
station.stop()
show("stop", until="Stopped mast")
for report in reports:
    if report.context in {"gave_up", "hung"}:
        print(report.line())
