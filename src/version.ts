import { existsSync, readFileSync } from 'node:fs'

/** The version in package.json, which stands above `src/` and, in a build, above `dist/src/`. */
export function version(): string {
  const beside = new URL('../package.json', import.meta.url)
  const file = existsSync(beside) ? beside : new URL('../../package.json', import.meta.url)
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version
}
