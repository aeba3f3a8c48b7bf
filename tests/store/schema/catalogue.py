"""What a database's catalogue says of our schema, as sets of plain sentences that two databases can be compared by."""

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import asyncpg

Catalogue: TypeAlias = dict[str, set[str]]

OURS = "('public'::regnamespace, 'scopekit'::regnamespace, 'monitoring'::regnamespace)"
# Functions of extensions live in the same schema.
OWN_FUNCTION = f"""
p.pronamespace IN {OURS} AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
"""
_GRANTEE = "CASE WHEN grantee = 0 THEN 'PUBLIC' ELSE grantee::regrole::text END"

_QUERIES = {
    "relations": f"""
        SELECT concat_ws(' ', oid::regclass, relkind, relpersistence, relrowsecurity, reloptions::text)
        FROM pg_class WHERE relnamespace IN {OURS} AND relkind IN ('r', 'v', 'S', 'i')""",
    "columns": f"""
        SELECT concat_ws(' ', c.oid::regclass, row_number() OVER (PARTITION BY c.oid ORDER BY attnum), a.attname,
                         format_type(atttypid, atttypmod), attnotnull, attgenerated, pg_get_expr(adbin, adrelid))
        FROM pg_class c JOIN pg_attribute a ON attrelid = c.oid
        LEFT JOIN pg_attrdef d ON adrelid = c.oid AND adnum = attnum
        WHERE relnamespace IN {OURS} AND relkind IN ('r', 'v') AND attnum > 0 AND NOT attisdropped""",
    "constraints": f"""
        SELECT concat_ws(' ', conrelid::regclass, conname, pg_get_constraintdef(oid))
        FROM pg_constraint WHERE connamespace IN {OURS}""",
    "indexes": f"""
        SELECT pg_get_indexdef(indexrelid) FROM pg_index JOIN pg_class c ON c.oid = indrelid
        WHERE relnamespace IN {OURS}""",
    "views": f"SELECT pg_get_viewdef(oid) FROM pg_class WHERE relnamespace IN {OURS} AND relkind = 'v'",
    "functions": f"SELECT pg_get_functiondef(p.oid) FROM pg_proc p WHERE {OWN_FUNCTION}",
    "triggers": "SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal",
    "policies": """
        SELECT concat_ws(' ', polrelid::regclass, polname, polcmd, polpermissive, polroles::regrole[]::text,
                         pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid))
        FROM pg_policy""",
    "rights on relations": f"""
        SELECT concat_ws(' ', c.oid::regclass, {_GRANTEE}, privilege_type)
        FROM pg_class c, aclexplode(
            coalesce(relacl, acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", relowner)))
        WHERE relnamespace IN {OURS} AND relkind IN ('r', 'v', 'S')""",
    "rights on columns": f"""
        SELECT concat_ws(' ', attrelid::regclass, attname, {_GRANTEE}, privilege_type)
        FROM pg_attribute JOIN pg_class c ON c.oid = attrelid, aclexplode(attacl)
        WHERE relnamespace IN {OURS}""",
    "rights on functions": f"""
        SELECT concat_ws(' ', p.oid::regprocedure, {_GRANTEE}, privilege_type)
        FROM pg_proc p, aclexplode(coalesce(proacl, acldefault('f', proowner))) WHERE {OWN_FUNCTION}""",
}


async def catalogue(connection: "asyncpg.Connection[asyncpg.Record]") -> Catalogue:
    """Read the whole schema but for the list of migrations."""
    rows = {kind: await connection.fetch(sql) for kind, sql in _QUERIES.items()}
    return {kind: {row[0] for row in found if "schema_migrations" not in row[0]} for kind, found in rows.items()}


def differences(one: Catalogue, other: Catalogue) -> dict[str, set[str]]:
    """Return what only one of the two has, by kind."""
    return {kind: one[kind] ^ other[kind] for kind in one if one[kind] != other[kind]}
