import { expect, test } from 'vitest'
import type { ControlNotes, Notes } from '../../src/core/authority.ts'
import { look } from '../../src/switchover/look.ts'

const leads: ControlNotes = { authority: 'sqlite', epoch: 1, attempt: 3, phase: 'replicating' }
const decided: ControlNotes = { authority: 'postgres', epoch: 2, attempt: 3, phase: 'switched_over' }
const open: Notes = { authority: 'sqlite', epoch: 1, attempt: 3 }
const settled: Notes = { authority: 'postgres', epoch: 2, attempt: 3 }

/** One after the other, then the last for good. */
function reads<T>(...values: T[]): () => T {
  return () => (values.length > 1 ? values.shift()! : values[0]!)
}

test('both notes of one moment', async () => {
  const seen = await look({ sqlite: () => open, postgres: async () => leads })
  expect(seen.standing).toEqual({ kind: 'sqlite', behind: false })
})

test('a change in between is no file that was put back', async () => {
  const postgres = reads(leads, decided)
  const seen = await look({ sqlite: reads(open, settled), postgres: async () => postgres() })
  expect(seen.standing).toEqual({ kind: 'postgres' })
  expect(seen.sqlite).toBe(settled)
})

test('an attempt that began and ended in between counts as a change', async () => {
  const postgres = reads(leads, { ...leads, attempt: 5 })
  let looks = 0
  const sqlite = (): Notes => {
    looks += 1
    return looks === 1 ? { authority: 'none', epoch: 2, attempt: 4 } : { ...open, attempt: 5 }
  }
  const seen = await look({ sqlite, postgres: async () => postgres() })
  expect(seen.standing.kind).toBe('sqlite')
})

test('a row that never rests is told', async () => {
  let attempt = 0
  const postgres = async (): Promise<ControlNotes> => ({ ...leads, attempt: attempt++ })
  await expect(look({ sqlite: () => open, postgres })).rejects.toMatchObject({
    code: 'notes_changing',
    policy: 'transient',
  })
})
