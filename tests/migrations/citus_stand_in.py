"""A plain database with the catalogue and the functions of Citus that `verbatim distribute` uses.

The functions place nothing: they write into the tables that Citus would fill. So the plan, its order and its resumption
are tested without a cluster. A real one is tested where ``VERBATIM_TEST_CITUS`` names its coordinator.
"""

from typing import Final

STAND_IN: Final = """
    CREATE TABLE pg_dist_local_group (groupid int);
    INSERT INTO pg_dist_local_group VALUES (0);
    CREATE TABLE pg_dist_node (nodeid int, groupid int, shouldhaveshards boolean, isactive boolean, noderole text);
    INSERT INTO pg_dist_node SELECT n, n - 1, n > 1, true, 'primary' FROM generate_series(1, 3) AS n;
    CREATE TABLE pg_dist_shard (logicalrelid regclass, shardid bigint);
    CREATE TABLE pg_dist_placement (shardid bigint, groupid int);
    CREATE TABLE citus_tables (table_name regclass PRIMARY KEY, citus_table_type text, shard_count int);
    CREATE TABLE node_settings (nodeid int, command text, result text);
    INSERT INTO node_settings SELECT nodeid, command, result
    FROM pg_dist_node, (VALUES ('SHOW citus.enable_unsafe_triggers', 'on'),
        ('SHOW citus.override_table_visibility', 'off')) AS setting (command, result);
    CREATE TABLE distributed_functions (name text);
    CREATE TABLE freed (name text);

    CREATE FUNCTION run_command_on_all_nodes(wanted text) RETURNS TABLE (nodeid int, success boolean, result text)
    LANGUAGE sql AS 'SELECT nodeid, true, result FROM node_settings WHERE command = wanted ORDER BY nodeid';
    CREATE FUNCTION get_shard_id_for_distribution_column(regclass, uuid) RETURNS bigint LANGUAGE sql AS 'SELECT 1';
    CREATE FUNCTION create_reference_table(name text) RETURNS void
    LANGUAGE sql AS $$ INSERT INTO citus_tables VALUES (name::regclass, 'reference', 1) $$;
    CREATE FUNCTION create_distributed_table(
        name text, by_column text, colocate_with text DEFAULT 'default', shard_count int DEFAULT NULL
    ) RETURNS void LANGUAGE sql AS $$
        INSERT INTO citus_tables VALUES (name::regclass, 'distributed', shard_count);
        INSERT INTO pg_dist_shard SELECT 'messages', n FROM generate_series(1, 2) AS n WHERE name = 'messages';
        INSERT INTO pg_dist_placement SELECT n, n FROM generate_series(1, 2) AS n WHERE name = 'messages';
    $$;
    CREATE FUNCTION create_distributed_function(name text, argument text DEFAULT NULL, colocate_with text DEFAULT NULL)
    RETURNS void LANGUAGE sql AS 'INSERT INTO distributed_functions VALUES (name::regprocedure::text)';
    CREATE FUNCTION truncate_local_data_after_distributing_table(name text) RETURNS void
    LANGUAGE sql AS 'INSERT INTO freed VALUES (name)';
"""
