import { readdir, readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { SETTINGS } from '../src/config.ts'
import { createMetrics } from '../src/metrics.ts'
import { FIRM, ONLY } from '../src/switchover/guards.ts'
import { GUARD_CODES } from '../src/switchover/judges.ts'

const root = join(import.meta.dirname, '..')
const read = (path: string) => readFile(join(root, path), 'utf8')

/** Of docker-compose.yml alone. */
const COMPOSE = [
  'DATABASE_DIR',
  'DATABASE_FILE',
  'SLIPWAY_UID',
  'SLIPWAY_GID',
  'POSTGRES_PASSWORD',
  'POSTGRES_PORT',
]

describe('.env.example', () => {
  it('lists every setting once, and nothing that nobody reads', async () => {
    const names = [...(await read('.env.example')).matchAll(/^#([A-Z_]+)=/gm)].map((match) => match[1]!)
    expect(names.toSorted()).toEqual([...SETTINGS, ...COMPOSE].toSorted())
  })

  it('sets nothing', async () => {
    const lines = (await read('.env.example')).split('\n')
    expect(lines.filter((line) => line !== '' && !line.startsWith('#'))).toEqual([])
  })

  it('has what docker-compose.yml asks for', async () => {
    const asked = [...(await read('docker-compose.yml')).matchAll(/\$\{([A-Z_]+)/g)].map((match) => match[1]!)
    expect([...SETTINGS, ...COMPOSE]).toEqual(expect.arrayContaining([...new Set(asked)]))
  })
})

describe('docker-compose.yml', () => {
  it('passes on what a change of authority goes by', async () => {
    const sections = (await read('.env.example')).split(/^# --- /m)
    const wanted = sections
      .filter((section) => /^(Guards of|The change of authority)/.test(section))
      .map((section) => [...section.matchAll(/^#([A-Z_]+)=/gm)].map((match) => match[1]!))
    expect(wanted).toHaveLength(2)
    const passed = [...(await read('docker-compose.yml')).matchAll(/^ {6}([A-Z_]+):/gm)].map(
      (match) => match[1]!,
    )
    expect(wanted.flat().filter((name) => !passed.includes(name))).toEqual([])
  })
})

describe('docs/switchover.md', () => {
  it('has every guard, in the order in which they are shown', async () => {
    const section = /^## Guards\n([\s\S]*?)^## /m.exec(await read('docs/switchover.md'))?.[1] ?? ''
    const listed = [...section.matchAll(/^\| `([a-z_]+)` \|/gm)].map((match) => match[1]!)
    expect(listed).toEqual(GUARD_CODES)
  })

  it('says which of them can be overridden, and of which change they are', async () => {
    const page = await read('docs/switchover.md')
    for (const code of GUARD_CODES) {
      const [, , of, overridable] =
        new RegExp(`^\\| \`${code}\` \\|(.*)\\| (\\w+) \\| (\\w+) \\|$`, 'm').exec(page) ?? []
      expect({ code, of, overridable }).toEqual({
        code,
        of: ONLY[code] ?? 'both',
        overridable: FIRM.has(code) ? 'no' : 'yes',
      })
    }
  })
})

describe('docs/dependencies.md', () => {
  it('explains every package', async () => {
    const { dependencies, devDependencies } = JSON.parse(await read('package.json'))
    const page = await read('docs/dependencies.md')
    const missing = Object.keys({ ...dependencies, ...devDependencies }).filter(
      (name) => !page.includes(`\`${name}\``),
    )
    expect(missing).toEqual([])
  })
})

describe('deploy/alerts.yml', () => {
  it('asks for metrics that exist', async () => {
    const existing = (await createMetrics().registry.getMetricsAsJSON()).map(({ name }) => name)
    const asked = [...(await read('deploy/alerts.yml')).matchAll(/\bslipway_\w+/g)].map((match) => match[0])
    expect(asked.length).toBeGreaterThan(5)
    expect([...new Set(asked)].filter((name) => !existing.includes(name))).toEqual([])
  })
})

describe('the pages', () => {
  it('link to files that are there', async () => {
    const pages = ['README.md', ...(await markdown('docs'))]
    const broken: string[] = []
    for (const page of pages) {
      for (const [, target] of (await read(page)).matchAll(/\]\((?!https?:|#)([^)#]+)(#[^)]*)?\)/g)) {
        const path = join(dirname(page), target!)
        const found = await readdir(join(root, dirname(path))).catch(() => [] as string[])
        if (path !== '.' && !found.includes(path.replace(/\/$/, '').split('/').at(-1)!))
          broken.push(`${page}: ${target}`)
      }
    }
    expect(broken).toEqual([])
  })
})

async function markdown(folder: string): Promise<string[]> {
  const entries = await readdir(join(root, folder), { recursive: true })
  return entries.filter((name) => name.endsWith('.md')).map((name) => `${folder}/${name}`)
}
