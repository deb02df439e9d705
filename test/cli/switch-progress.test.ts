import { expect, test } from 'vitest'
import { SwitchProgress } from '../../src/cli/switch-progress.ts'
import { SWITCHED, SWITCHING } from '../api/fake-operator.ts'

function progress(interactive: boolean) {
  const said: string[] = []
  const drawn: (readonly string[])[] = []
  const live = {
    update: (lines: readonly string[]) => void drawn.push(lines),
    pause: () => void drawn.push([]),
  }
  const terminal = { interactive, live, note: (text: string) => void said.push(text) }
  return { said, drawn, of: new SwitchProgress(terminal as never) }
}

test('on a terminal: all steps, drawn anew, and in the end they stay', () => {
  const { said, drawn, of } = progress(true)
  of.show(SWITCHING)
  expect(drawn).toEqual([
    [
      expect.stringMatching(/^✓ guards +12\.3 ms {2}3 are well$/),
      expect.stringMatching(/^… wait for lag zero +2 changes left$/),
      "· SQLite's write lock",
    ],
  ])
  expect(said).toEqual([])
  of.show(SWITCHED)
  expect(said).toHaveLength(3)
  expect(said[2]).toMatch(/^✓ SQLite's write lock +0\.2 ms$/)
  of[Symbol.dispose]()
  expect(drawn.at(-1)).toEqual([])
})

test('elsewhere: a line for each state of a step, once', () => {
  const { said, drawn, of } = progress(false)
  for (const run of [SWITCHING, SWITCHING, SWITCHED, SWITCHED]) of.show(run)
  expect(said.map((line) => line.slice(0, 10))).toEqual([
    '✓ guards  ',
    '… wait for',
    '✓ wait for',
    "✓ SQLite's",
  ])
  expect(drawn).toEqual([])
})
