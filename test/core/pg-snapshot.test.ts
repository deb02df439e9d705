import { expect, test } from 'vitest'
import { covers, parsePgSnapshot } from '../../src/core/pg-snapshot.ts'

test('a snapshot is read, and nothing else', () => {
  expect(parsePgSnapshot('727:733:729,731')).toEqual({ xmax: 733n, open: new Set([729n, 731n]) })
  expect(parsePgSnapshot('9007199254740993:9007199254740994:')?.xmax).toBe(9007199254740994n)
  for (const text of ['', '727', '727:733', '727:733:a', '727:733:729,', 'null']) {
    expect(parsePgSnapshot(text)).toBeUndefined()
  }
})

test.each([
  // Forward: numbers.
  [18342, 18342, true],
  ['9007199254740993', 9007199254740992, true],
  [18341, 18342, false],
  // The newer one shows all that the older one shows, though it has other transactions open.
  ['733:733:', '727:733:729,731', true],
  ['729:740:729,735', '727:733:729,731', true],
  ['731:733:731', '727:733:729', false],
  ['727:733:729,731', '733:733:', false],
  // The numbers that are missing were all open there.
  ['727:730:', '730:732:730,731', true],
  ['727:730:', '730:732:730', false],
  ['727:730:', '727:9000000000000000000:', false],
  // Other directions.
  ['727:733:', 18342, false],
  [18342, '727:733:', false],
])('%s covers %s: %s', (position, other, expected) => {
  expect(covers(position, other)).toBe(expected)
})
