import { readFileSync } from 'node:fs'
import type { Knex } from 'knex'

const here = import.meta.url.includes('/dist/') ? '../../../triggers' : '../../triggers'
const GATE = new URL(`${here}/postgres/gate_function.sql`, import.meta.url)

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    CREATE TABLE slipway.control (
      migration   text PRIMARY KEY,                    -- MIGRATION_NAME
      id          int GENERATED ALWAYS AS IDENTITY UNIQUE, -- names the gate's sequence and locks
      phase       text NOT NULL,
      authority   text NOT NULL,                       -- the decision: sqlite, postgres or none
      epoch       bigint NOT NULL,                     -- raised at each change of authority
      attempt     int NOT NULL DEFAULT 0,              -- number of the switchover attempt
      holder      text NOT NULL DEFAULT '',            -- the one process that may write rows
      secret      text NOT NULL,                       -- opens the gate for the holder's transactions
      source      text NOT NULL,                       -- path of the source, for people
      schema      text NOT NULL,                       -- where the tables live
      tables      jsonb NOT NULL DEFAULT '[]',         -- the plan: what is moved, and how
      identity    text NOT NULL DEFAULT gen_random_uuid(), -- noted in the source: it serves one migration only
      installation text NOT NULL DEFAULT '',           -- the capture that the checkpoint belongs to
      backup      jsonb,
      copy_started_at  timestamptz,
      copy_finished_at timestamptz,
      created_at  timestamptz NOT NULL DEFAULT now()
    );
    COMMENT ON TABLE slipway.control IS 'one row per migration: phase, authority and who may write';

    CREATE TABLE slipway.holder (
      migration text PRIMARY KEY REFERENCES slipway.control ON DELETE CASCADE,
      holder    text NOT NULL,
      seen_at   timestamptz NOT NULL                   -- apart from control, whose row a batch locks
    );

    CREATE TABLE slipway.checkpoint (
      migration text NOT NULL REFERENCES slipway.control ON DELETE CASCADE,
      direction text NOT NULL,
      seq       bigint NOT NULL,                       -- applied up to here, with the rows, in one commit
      mark      text NOT NULL,                         -- the changelog row that stood there
      newest    bigint NOT NULL DEFAULT 0,             -- newest head any chunk of the copy has seen
      applied_at timestamptz NOT NULL DEFAULT now(),
      PRIMARY KEY (migration, direction)
    );

    CREATE TABLE slipway.copy_part (
      migration text NOT NULL REFERENCES slipway.control ON DELETE CASCADE,
      tbl       text NOT NULL,
      part      int NOT NULL,
      lower     text,                                  -- scan keys, exclusive
      upper     text,                                  -- inclusive
      last      text,                                  -- copied and committed up to here
      rows      bigint NOT NULL DEFAULT 0,
      expected  bigint NOT NULL DEFAULT 0,             -- rows of the whole table, estimated
      done      boolean NOT NULL DEFAULT false,
      PRIMARY KEY (migration, tbl, part)
    );

    CREATE TABLE slipway.dormant (
      migration text NOT NULL REFERENCES slipway.control ON DELETE CASCADE,
      tbl       text NOT NULL,                         -- qualified and quoted
      kind      text NOT NULL,                         -- foreign_key, own_foreign_key, trigger
      name      text NOT NULL,
      wake      text NOT NULL,                         -- DDL that brings it back
      PRIMARY KEY (migration, tbl, kind, name)
    );
    COMMENT ON TABLE slipway.dormant IS 'foreign keys and triggers of the target that do not act while SQLite leads';
  `)
  await knex.raw(readFileSync(GATE, 'utf8'))
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw(`
    DROP FUNCTION slipway.gate();
    DROP TABLE slipway.dormant, slipway.copy_part, slipway.checkpoint, slipway.holder, slipway.control;
  `)
}
