import { expect, test } from 'vitest'
import { combine, logObserver } from '../../src/cli/observers.ts'
import type { Logger } from '../../src/logging.ts'
import { SWITCHED, UNDONE } from '../api/fake-operator.ts'

test('the end of a change of authority is logged with what was overridden', () => {
  const lines: [facts: unknown, text: string][] = []
  const logger = { info: (facts: unknown, text: string) => void lines.push([facts, text]) }
  const observer = combine({}, logObserver(logger as unknown as Logger))
  observer.switched({ ...SWITCHED, overrides: ['backup'] })
  observer.switched({ ...UNDONE, pause_ms: null })
  expect(lines).toEqual([
    [
      expect.objectContaining({
        passage: 'switchover',
        epoch: 2,
        overrides: ['backup'],
        drained_changes: 12,
      }),
      'switchover done, writes paused for 38.4 ms',
    ],
    [expect.objectContaining({ state: 'undone' }), 'switchover undone: the drain took too long'],
  ])
})
