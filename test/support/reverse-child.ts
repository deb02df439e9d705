/**
 * A process that writes the way back into a file until it is killed: `node reverse-child.ts FILE hold` stops in the
 * middle of a batch, with the lock held; `… run` writes batch after batch, each of which says its number in many rows.
 */
import type { ReversePosition, RowPatch } from '../../src/core/reverse.ts'
import { ReverseWriter } from '../../src/sqlite/reverse-writer.ts'
import { batchOf, patch, row, spec } from './reverse-batch.ts'

const [path = '', mode] = process.argv.slice(2)
const T = spec('t', ['id bigint', 'a text'])
const writer = new ReverseWriter({ path, warn: () => undefined })

async function* endless(): AsyncIterable<readonly RowPatch[]> {
  for (let id = 100; id < 120; id++)
    yield [row(T, `["i${id}"]`, { id: String(id), a: 'x'.repeat(1_000_000) })]
  yield [patch(T, '["i1"]', { a: 'half done' })]
  process.stdout.write('held\n')
  // A timer keeps the process: it is killed.
  await new Promise((resolve) => setTimeout(resolve, 600_000))
}

if (mode === 'hold') {
  const from = writer.position()
  const to: ReversePosition = { snapshot: 'never', token: 'never' }
  const batch = batchOf(from, to, [{ table: T }])
  await writer.apply({ ...batch, tables: batch.tables.map((each) => ({ ...each, patches: endless })) })
}

for (let told = false; ; ) {
  const from = writer.position()
  const n = (Number(from.token) || 0) + 1
  const patches = Array.from({ length: 2_000 }, (_, i) => patch(T, `["i${i + 1}"]`, { a: String(n) }))
  const to = { snapshot: `${n}:${n}:`, token: String(n) }
  await writer.apply(batchOf(from, to, [{ table: T, patches }]))
  if (!told) process.stdout.write('held\n')
  told = true
}
