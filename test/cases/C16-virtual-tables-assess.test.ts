import { expect, test } from 'vitest'
import { assess } from '../support/assess.ts'
import { Scenario } from '../support/scenario.ts'

// Virtual tables cannot have triggers: assess says what stays behind, and what does its work in PostgreSQL.

test('full text and ranges are named with what takes their place; shadow tables are no tables of their own', async () => {
  await using scenario = await Scenario.prepare({
    source: [
      'CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT)',
      'CREATE VIRTUAL TABLE search USING fts5(body)',
      'CREATE VIRTUAL TABLE boxes USING rtree(id, x0, x1)',
      // An ordinary table, whatever its name looks like.
      'CREATE TABLE search_terms (id INTEGER PRIMARY KEY)',
    ],
  })
  const { result, serious, find, assessment } = await assess(scenario)
  expect(serious).toEqual(['warns virtual_table boxes', 'warns virtual_table search'])
  expect(find('virtual_table', 'search')).toMatchObject({ remedy: expect.stringContaining('tsvector') })
  expect(find('virtual_table', 'search')?.examples).toContain('search_data')
  expect(find('virtual_table', 'boxes')?.remedy).toContain('GiST')
  expect(assessment.tables.map(({ table }) => table)).toEqual(['search_terms', 't'])
  expect(result.code).toBe(0)
})
