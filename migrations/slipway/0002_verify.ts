import type { Knex } from 'knex'

/** Rows set aside, runs of verify, the event history, and which tables are in doubt. */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    ALTER TABLE slipway.control
      ADD COLUMN dirty jsonb NOT NULL DEFAULT '{}',       -- source table -> why it is in doubt until it is verified
      ADD COLUMN history_from  bigint,                     -- states before this position cannot be rebuilt
      ADD COLUMN history_after bigint,                     -- history.id: only later entries lead back to that state
      ADD COLUMN history_since timestamptz;                -- when the target stood there

    CREATE TABLE slipway.quarantine (
      migration text NOT NULL REFERENCES slipway.control ON DELETE CASCADE,
      direction text NOT NULL DEFAULT 'forward',
      tbl       text NOT NULL,                             -- name in the source
      key       text NOT NULL,                             -- encoded: core/key.ts
      shown     text NOT NULL,                             -- the key for people
      kind      text NOT NULL,                             -- misfit, refused, duplicate, parent
      col       text,                                      -- name in the source
      reason    text NOT NULL,
      value     text,
      blocking  boolean NOT NULL DEFAULT true,             -- a switchover waits for it
      facts     jsonb,                                     -- why: of which row (of), unique and values, or parent
      due       boolean NOT NULL DEFAULT false,            -- what was in its way is gone: the next batch tries it
      since     timestamptz NOT NULL DEFAULT clock_timestamp(),
      last      timestamptz NOT NULL DEFAULT clock_timestamp(),
      attempts  int NOT NULL DEFAULT 1
    );
    -- A key may be longer than what an index takes.
    CREATE UNIQUE INDEX quarantine_key ON slipway.quarantine (migration, direction, tbl, md5(key));
    CREATE INDEX quarantine_of ON slipway.quarantine (migration, md5(facts->>'of')) WHERE facts IS NOT NULL;
    CREATE INDEX quarantine_duplicates ON slipway.quarantine (migration, tbl) WHERE kind = 'duplicate';
    CREATE INDEX quarantine_due ON slipway.quarantine (migration) WHERE due;
    COMMENT ON TABLE slipway.quarantine IS 'rows of the source that the target cannot hold';

    CREATE TABLE slipway.verify_run (
      id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      migration   text NOT NULL REFERENCES slipway.control ON DELETE CASCADE,
      state       text NOT NULL,                           -- running, done, failed
      reason      text NOT NULL,
      repair      boolean NOT NULL,
      started_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
      finished_at timestamptz,
      report      jsonb NOT NULL                           -- tables, where each stands, samples
    );
    CREATE INDEX ON slipway.verify_run (migration, id DESC);

    CREATE TABLE slipway.history (
      id        bigint GENERATED ALWAYS AS IDENTITY,       -- rises with the commits: one holder writes
      migration text NOT NULL REFERENCES slipway.control ON DELETE CASCADE,
      direction text NOT NULL,
      position  bigint NOT NULL,                           -- of the batch that it came with
      tbl       text NOT NULL,                             -- name in the source
      op        text NOT NULL,                             -- insert, update, delete
      key       jsonb NOT NULL,                            -- by the target's columns, each value as its text
      before    jsonb,                                     -- the target's row until then; null for an insert
      after     jsonb,                                     -- the source's row; null for a delete
      at        timestamptz NOT NULL DEFAULT clock_timestamp(),
      PRIMARY KEY (migration, id)
    );
    CREATE INDEX ON slipway.history (migration, tbl, position);
    COMMENT ON TABLE slipway.history IS 'every applied change with its row images, where HISTORY=on';
  `)
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw(`
    DROP TABLE slipway.history, slipway.verify_run, slipway.quarantine;
    ALTER TABLE slipway.control DROP COLUMN dirty, DROP COLUMN history_from, DROP COLUMN history_after, DROP COLUMN history_since;
  `)
}
