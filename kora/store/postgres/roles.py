"""Who may do what: the role that owns Kora's tables, and those that work on the board and own nothing.

What a role may do is bounded three times: by the grants below; by the policies of the tables, which go by the role
that logged in (`kora.workspace_roles`), so that no session can set what it sees; and by column, so that a runtime can
neither change what an event, a ticket or a chain *is*, nor lock a table away from the others.
"""

from __future__ import annotations

import re
from typing import Final

from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from kora.errors import StoreUnusableError
from kora.store.postgres.bare import ANSWER_SECONDS
from kora.store.postgres.connection import PostgresConnection
from kora.store.postgres.turn_statements import MAKE_CHAIN

OWNER: Final = "kora"
"""the role that migrates, where the URL names none"""
RUNTIME: Final = "kora_runtime"
DATABASE: Final = "kora"

_REGISTER_WORKSPACE: Final = """
INSERT INTO kora.workspaces (workspace_id, created_at) VALUES ($1, kora.now_us()) ON CONFLICT DO NOTHING
"""
_ADMIT: Final = """
INSERT INTO kora.workspace_roles (role_name, workspace_id, workspace_no)
SELECT coalesce($2::name, current_user), workspace_id, workspace_no FROM kora.workspaces WHERE workspace_id = $1
ON CONFLICT DO NOTHING
"""

# An event is written once and never changed, and so is a command; whoever archives has the role that owns the tables.
# UPDATE is granted by column: a role that may update whole tables may also lock them whole, and with them every other
# workspace.
GRANTS: Final = (
    "GRANT USAGE ON SCHEMA kora TO {role}",
    "GRANT SELECT ON ALL TABLES IN SCHEMA kora TO {role}",
    """
GRANT INSERT ON kora.actor_registry, kora.runtimes, kora.tickets, kora.objectives, kora.operations, kora.events,
    kora.chains, kora.dependencies, kora.tallies, kora.control_commands, kora.control_marks, kora.spend,
    kora.ceilings, kora.watchers TO {role}
""",
    """
GRANT UPDATE (sea_status, queue_state, next_eligible_at, assigned_to_actor_id, open_blockers, claim_count,
    claim_fence_token, holder, lease_expires_at, work_attempt_id, claimed_at, progress_at, ended_at, worked_us,
    cost_micro_usd, cost_forgiven_micro_usd, work_attempt_count, attempts_forgiven, failure_count_by_reason,
    last_resolution, last_summary)
    ON kora.tickets TO {role}
""",
    "GRANT UPDATE (state, dispatch_result, dispatch_error, ended_at, charged_micro_usd) ON kora.operations TO {role}",
    "GRANT UPDATE (last_chain_seq, last_event_hash) ON kora.chains TO {role}",
    "GRANT UPDATE (attempts, cost_micro_usd, worked_us) ON kora.tallies TO {role}",
    "GRANT UPDATE (last_incarnation, last_seen, ended_at, revoked_at) ON kora.runtimes TO {role}",
    """
GRANT UPDATE (seq_shift, stop_level, epoch, pool_month, baseline_micro_usd, reconciled_micro_usd, refreshed_at,
    ramp_until, ramp_interval_us, paced_at) ON kora.workspaces TO {role}
""",
    "GRANT UPDATE (status, stage, marked_at, detail) ON kora.control_marks TO {role}",
    "GRANT UPDATE (micro_usd) ON kora.spend TO {role}",
    "GRANT UPDATE (host, pid, seen_at) ON kora.watchers TO {role}",
    "GRANT DELETE ON kora.dependencies TO {role}",
    "GRANT DELETE ON kora.watchers TO {role}",
)
"""what a runtime, and whoever works on its board, may do"""

_FITNESS: Final = """
SELECT rolname = current_user, rolsuper OR rolbypassrls, pg_has_role(rolname, current_user, 'MEMBER')
FROM pg_roles WHERE rolname = $1::name
"""
_PLACE: Final = re.compile(r"\$(\d+)")
READ_SECONDS: Final = ANSWER_SECONDS + 2
"""when the server breaks a read off: nobody waits for its answer any more"""
IDLE_READ_SECONDS: Final = 60

_ROLES: Final = """\
-- The roles of {store}: for whoever may create roles and databases.
-- Apply this with psql, connected to any database of that server. What is there already stays as it is.
--
-- {owner} owns Kora's tables: `kora-actors migrate`, `archive` and `copy` log in as it, and nothing else does.
-- {runtime} owns nothing: runtimes and operators log in as it. It sees the workspaces it was admitted to.

-- Part 1: before `kora-actors migrate`.

SELECT {make_owner} WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = {owner_text}) \\gexec
SELECT {make_runtime} WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = {runtime_text}) \\gexec
-- They have no passwords yet: \\password in psql sets one and shows it nowhere; or pg_hba.conf admits them otherwise.

-- Sorted by bytes: no new version of the system's locales can ever spoil an index.
SELECT {make_database} WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = {database_text}) \\gexec

-- Nobody else may connect. Leave this out where the database serves others, too.
REVOKE ALL ON DATABASE {database} FROM PUBLIC;
-- CREATE is for the schema kora, which `migrate` makes.
GRANT CONNECT, CREATE ON DATABASE {database} TO {owner};
GRANT CONNECT ON DATABASE {database} TO {runtime};

-- Every change that Kora makes brings bounds of its own. These are for what is only read, and so for what a killed or
-- frozen program leaves behind: a statement whose answer nobody awaits any more (Kora gives up after {answer} s),
ALTER ROLE {runtime} IN DATABASE {database} SET statement_timeout = '{read} s';
-- and an open snapshot, beside which nothing dead can be cleared away, so that claims get slow for everybody.
ALTER ROLE {runtime} IN DATABASE {database} SET idle_in_transaction_session_timeout = '{idle} s';

-- Part 2: what `kora-actors migrate --runtime-role {runtime}` does as {owner} in {database}, once it has made the
-- tables. It is shown to be seen; nobody has to carry it out. `migrate` admits each role to the one workspace that
-- stands in the configuration.
--
{admission}
"""


def admission(workspace_id: str, runtime_role: str | None) -> list[sql.Composed]:
    """What makes the workspace, and lets the role that carries it out, and the one named, work in it."""
    found = [
        _spelt(_REGISTER_WORKSPACE, workspace_id),
        _spelt(_ADMIT, workspace_id, None),
        _spelt(MAKE_CHAIN, workspace_id, f"workspace:{workspace_id}"),
    ]
    if runtime_role is not None:
        found.append(_spelt(_ADMIT, workspace_id, runtime_role))
        found += [sql.SQL(grant).format(role=sql.Identifier(runtime_role)) for grant in GRANTS]
    return found


def check_runtime_role(connection: PostgresConnection, name: str, role: str) -> None:
    """The role is bounded by what it is granted. Raises `StoreUnusableError` for one that is not, or is not there."""
    row = connection.execute(_FITNESS, (role,)).fetchone()
    if row is None:
        raise StoreUnusableError(
            f"{name} has no role {role}; create it, see `kora-actors migrate --print-roles --runtime-role {role}`"
        )
    is_owner, sees_all, may_be_owner = row
    if is_owner:
        raise StoreUnusableError(f"{name}: {role} is the role that migrates; as a runtime's role name another")
    if sees_all:
        raise StoreUnusableError(
            f"{name}: {role} is a superuser or has BYPASSRLS, and so sees every workspace; name another role"
        )
    if may_be_owner:
        raise StoreUnusableError(
            f"{name}: {role} is a member of the role that migrates, and so may do all it may; name another role"
        )


def roles_sql(url: str, name: str, *, workspace_id: str, runtime_role: str | None) -> str:
    """The SQL with which an administrator makes the roles and the database, and below it what `migrate` will do.

    The role that migrates and the database are the URL's. Raises `StoreUnusableError` for names that cannot be.
    """
    said = conninfo_to_dict(url)
    owner, database = str(said.get("user") or OWNER), str(said.get("dbname") or DATABASE)
    runtime = runtime_role or RUNTIME
    if not all(each.isprintable() for each in (owner, database, runtime, workspace_id)):
        raise StoreUnusableError(f"{name}: the name of a role, database or workspace has a control character")
    if owner == runtime:
        raise StoreUnusableError(
            f"{name}: {owner} cannot be both the role that migrates (the URL's) and the runtimes'; name the latter with"
            " --runtime-role, or the former in KORA_STORE"
        )
    identifier = {"owner": owner, "runtime": runtime, "database": database}
    quoted = {key: sql.Identifier(each).as_string() for key, each in identifier.items()}
    encoded = "TEMPLATE template0 ENCODING 'UTF8' LOCALE_PROVIDER libc LOCALE 'C'"
    made = {
        "make_owner": f"CREATE ROLE {quoted['owner']} LOGIN",
        "make_runtime": f"CREATE ROLE {quoted['runtime']} LOGIN",
        "make_database": f"CREATE DATABASE {quoted['database']} {encoded}",
    }
    steps = [step.as_string().strip() for step in admission(workspace_id, runtime)]
    return _ROLES.format(
        store=name,
        **quoted,
        **{f"{key}_text": _literal(each) for key, each in identifier.items()},
        **{key: _literal(each) for key, each in made.items()},
        answer=f"{ANSWER_SECONDS:g}",
        read=f"{READ_SECONDS:g}",
        idle=IDLE_READ_SECONDS,
        admission="\n".join(f"--   {line}" for step in steps for line in f"{step};".splitlines()),
    ).rstrip("\n")


def _literal(text: str) -> str:
    return sql.Literal(text).as_string().strip()


def _spelt(statement: str, *values: str | None) -> sql.Composed:
    """The statement with its values in it: to be carried out, and to be shown."""
    parts = enumerate(_PLACE.split(statement))
    return sql.Composed([sql.Literal(values[int(part) - 1]) if number % 2 else sql.SQL(part) for number, part in parts])
