"""An agent for Kora. `supervisor.toml` names it "agent:run"; it is called once for each attempt at a ticket."""

from pathlib import Path

from kora.work import AgentResult, Resolution, Ticket, Work

ANSWERS = Path(__file__).with_name("answers")


def run(ticket: Ticket, work: Work) -> AgentResult:
    """Count the ticket's words. What is raised here fails the attempt; it is tried again, up to three times."""
    words = f"{ticket.ticket_title} {ticket.ticket_objective}".split()
    longest = ""
    for word in words:
        work.raise_if_lost()  # ends here when the runtime stops, or the ticket is no longer this attempt's
        work.token()  # progress: it keeps the ticket this attempt's for longer
        longest = max(longest, word, key=len)

    # What is keyed by operation.id happens once, even if this attempt is killed on the way and another one is made.
    with work.operation("write_answer", key="answer") as operation:
        if not operation.done:
            ANSWERS.mkdir(exist_ok=True)
            (ANSWERS / f"{operation.id}.txt").write_text(f"{longest}\n", encoding="utf-8")
            operation.commit(longest)

    return AgentResult(
        resolution=Resolution.COMPLETED, summary=f"{len(words)} words, the longest is {operation.result!r}"
    )
