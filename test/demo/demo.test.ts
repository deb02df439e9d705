import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'

const BIN = join(import.meta.dirname, '../../src/cli/bin.js')

let dir: string
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'slipway-demo-test-'))
  // PostgreSQL may run under another account.
  chmodSync(dir, 0o755)
})
afterEach(() => rmSync(dir, { recursive: true, force: true }))

/** The demo without a terminal, in an empty folder, with settings of somebody else's in its environment. */
function startDemo(): { readonly demo: ChildProcess; readonly output: () => string } {
  const demo = spawn(process.execPath, [BIN, 'demo'], {
    cwd: dir,
    env: {
      PATH: process.env.PATH,
      HOME: dir,
      TMPDIR: dir,
      SQLITE_PATH: '/nowhere/else.db',
      CONTROL_PORT: '12abc',
      TABLES: 'nothing',
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [demo.stdout, demo.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => {
      output += text
    })
  }
  return { demo, output: () => output }
}

/** Processes whose command line names the folder. */
function leftProcesses(): string[] {
  if (process.platform !== 'linux') return []
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')
      } catch {
        return ''
      }
    })
    .filter((command) => command.includes(dir))
}

const demoFolders = () => readdirSync(dir).filter((name) => name.startsWith('slipway-demo-'))

test('the whole story ends by itself, with equal data and nothing left behind', {
  timeout: 180_000,
}, async () => {
  const { demo, output } = startDemo()
  const [code] = await once(demo, 'close')
  expect(output()).toMatch(/The data is equal: [\d,]+ rows, 0 different/)
  expect(output()).toMatch(/[\d,]+ writes acknowledged, 0 failed/)
  expect(output()).toContain('kill -9')
  expect(output()).not.toMatch(/postgres:\/\/\w+:[^*@]+@/)
  expect(code).toBe(0)
  expect(demoFolders()).toEqual([])
  expect(leftProcesses()).toEqual([])
})

test.each([
  ['before there is a server', 'A newsroom on SQLite'],
  ['while it writes', 'A process writes'],
])('Ctrl-C %s ends everything, with 130', { timeout: 120_000 }, async (_when, line) => {
  const { demo, output } = startDemo()
  while (!output().includes(line)) await once(demo.stdout!, 'data')
  demo.kill('SIGINT')
  const [code] = await once(demo, 'close')
  expect(code).toBe(130)
  expect(output()).not.toContain('failed')
  expect(demoFolders()).toEqual([])
  expect(leftProcesses()).toEqual([])
})
