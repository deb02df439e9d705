import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { edited } from './copy.ts'
import { MUTATIONS } from './mutations.ts'

// Only that the list is up to date: the mutations themselves are run by `npm run check:mutations`.

const root = join(import.meta.dirname, '../..')

test.each(MUTATIONS)('$code: what it takes out is in the source', ({ edits, tests }) => {
  const files = new Map<string, string>()
  for (const edit of edits) {
    const text = files.get(edit.file) ?? readFileSync(join(root, edit.file), 'utf8')
    const changed = edited(text, edit)
    expect(changed).not.toBe(text)
    files.set(edit.file, changed)
  }
  expect(tests.length).toBeGreaterThan(0)
  for (const { file } of tests) expect(existsSync(join(root, file)), file).toBe(true)
})

test('each has a name of its own', () => {
  expect(new Set(MUTATIONS.map(({ code }) => code)).size).toBe(MUTATIONS.length)
})
