import { expect, test } from 'vitest'
import { Scenario } from '../support/scenario.ts'

// Virtual tables cannot have triggers: they and their shadow tables are left out, said so, and go on working.

test('full text beside ordinary tables', async () => {
  const shadows = ['search_data', 'search_idx', 'search_content', 'search_docsize', 'search_config']
  await using scenario = await Scenario.replicating({
    source: [
      'CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT)',
      'CREATE VIRTUAL TABLE search USING fts5(body)',
      'CREATE TRIGGER t_search AFTER INSERT ON t BEGIN INSERT INTO search (rowid, body) VALUES (NEW.id, NEW.body); END',
      `INSERT INTO t (body) VALUES ('first words')`,
    ],
    exclude: shadows,
  })
  await scenario.write([
    `INSERT INTO t (body) VALUES ('more words'), ('and more')`,
    `INSERT INTO search (body) VALUES ('direct')`,
  ])
  await scenario.equalAtLagZero()
  const [found] = await scenario.write([`SELECT count(*) FROM search WHERE search MATCH 'more'`])
  expect(found?.rows).toEqual([[2]])
  const status = await scenario.daemon.status()
  expect(status?.warnings.join('\n')).toMatch(/search/)
  const tables = await scenario.postgres<{ name: string }>(
    `SELECT relname AS name FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'`,
  )
  expect(tables).toEqual([{ name: 't' }])
})
