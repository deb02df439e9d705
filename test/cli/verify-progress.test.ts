import { expect, test } from 'vitest'
import { VerifyProgress } from '../../src/cli/verify-progress.ts'
import { EQUAL, RUNNING } from '../api/fake-operator.ts'

function progress(interactive: boolean) {
  const said: string[] = []
  const drawn: (readonly string[])[] = []
  const clock = { now: 1_000 }
  const live = {
    update: (lines: readonly string[]) => void drawn.push(lines),
    pause: () => void drawn.push([]),
  }
  const terminal = { interactive, live, note: (text: string) => void said.push(text) }
  return { said, drawn, clock, of: new VerifyProgress(terminal as never, () => clock.now) }
}

test('on a terminal: a bar for each table at work, and the sum, with rate and time left', () => {
  const { drawn, clock, of } = progress(true)
  of.show(RUNNING)
  clock.now += 1_000
  of.show({
    ...RUNNING,
    rows_compared: 7_000,
    mismatched: 1,
    eta_seconds: 1,
    tables: [
      { ...RUNNING.tables[0]!, rows_compared: 7_000 },
      { ...RUNNING.tables[0]!, table: 'dlq', state: 'waiting', rows_compared: 0, rows_expected: 55 },
    ],
  })
  expect(drawn.at(-1)).toEqual([
    expect.stringMatching(/^articles +█+░+ +56% +7,000 +5,000\/s$/),
    '0 of 2 tables, 7,000 of 12,400 rows, 5,000/s, 1 s left, 1 different so far',
  ])
  of.show(EQUAL)
  expect(drawn.at(-1)).toEqual([])
})

test('elsewhere: a line now and then, and none of a short run', () => {
  const { said, clock, of } = progress(false)
  of.show(RUNNING)
  expect(said).toEqual([])
  clock.now += 5_000
  of.show(RUNNING)
  of.show(RUNNING)
  expect(said).toEqual(['0 of 1 table, 2,000 of 12,345 rows, 0/s, 3 s left'])
})
