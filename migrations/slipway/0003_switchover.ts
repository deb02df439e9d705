import { readFileSync } from 'node:fs'
import type { Knex } from 'knex'

const here = import.meta.url.includes('/dist/') ? '../../../triggers' : '../../triggers'
const GATE = new URL(`${here}/postgres/gate_function.sql`, import.meta.url)

/** The change of authority and the way back: reverse changelog, token, runs of switchover and rollback. */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    ALTER TABLE slipway.control
      ADD COLUMN since         timestamptz NOT NULL DEFAULT now(), -- the authority's
      ADD COLUMN reverse_start text,                       -- pg_snapshot of the decision: where the way back starts
      ADD COLUMN fingerprint   text NOT NULL DEFAULT '',   -- of the target's tables as the decision left them
      ADD COLUMN awake         boolean NOT NULL DEFAULT false, -- what slipway.dormant lists is in the tables now
      ADD COLUMN unsafe        jsonb NOT NULL DEFAULT '{}', -- code -> why a rollback would lose or change something
      ADD COLUMN pauses        jsonb NOT NULL DEFAULT '{}'; -- reason -> until: writes paused by people

    CREATE TABLE slipway.token (
      migration text PRIMARY KEY REFERENCES slipway.control ON DELETE CASCADE,
      token     text NOT NULL,                             -- of the newest reverse position that this server kept
      earlier   jsonb NOT NULL DEFAULT '{}',               -- of earlier sessions: name -> number of its last token
      pruned    xid8                                       -- changes of transactions up to this one may be gone
    );

    CREATE TABLE slipway.changelog (
      -- No number of its own: it would not be commit order, and an index less is a sixth of the trigger's cost.
      migration int NOT NULL,                              -- control.id
      tbl       text NOT NULL,                             -- name in the source
      op        text NOT NULL,                             -- I, U, D; T: the table was truncated
      key       jsonb,                                     -- the target's key columns, in their order; null for T
      xid       xid8 NOT NULL DEFAULT pg_current_xact_id(),
      at        timestamptz NOT NULL DEFAULT clock_timestamp()
    );
    CREATE INDEX changelog_xid ON slipway.changelog (migration, xid);
    COMMENT ON TABLE slipway.changelog IS 'which rows changed while PostgreSQL leads; rows are read late';

    CREATE TABLE slipway.captured (
      migration   int PRIMARY KEY,                         -- control.id
      marks       jsonb NOT NULL,                          -- source table -> its triggers as they were made
      fingerprint text                                     -- of the tables, as far as rows were compared again since
    );
    COMMENT ON TABLE slipway.captured IS 'reverse capture as it was installed: what differs was changed by somebody';

    CREATE TABLE slipway.switch_run (
      id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      migration   text NOT NULL REFERENCES slipway.control ON DELETE CASCADE,
      passage     text NOT NULL,                           -- switchover, rollback
      attempt     int NOT NULL,
      state       text NOT NULL,                           -- running, done, undone, refused
      started_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
      finished_at timestamptz,
      report      jsonb NOT NULL                           -- steps, guards, overrides, pause
    );
    CREATE INDEX ON slipway.switch_run (migration, id DESC);
  `)
  await knex.raw(readFileSync(GATE, 'utf8'))
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw(`
    DROP TABLE slipway.switch_run, slipway.captured, slipway.changelog, slipway.token;
    ALTER TABLE slipway.control DROP COLUMN since, DROP COLUMN reverse_start, DROP COLUMN fingerprint,
      DROP COLUMN awake, DROP COLUMN unsafe, DROP COLUMN pauses;
  `)
}
