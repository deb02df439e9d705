import { describe, expect, test } from 'vitest'
import { BIN, folder, launch } from './run.ts'

const pretend = (version: string) =>
  `data:text/javascript,Object.defineProperty(process,'versions',{value:{...process.versions,node:'${version}'}})`

describe('bin', () => {
  test.each(['12.22.12', '20.20.2', '23.11.0'])(
    'Node %s: one clear line, a remedy, exit 2',
    async (version) => {
      const { code, stderr, stdout } = await launch(
        ['--import', pretend(version), BIN, 'status'],
        {},
        folder(),
      ).ended
      expect(code).toBe(2)
      expect(stderr).toMatch(
        /^error: slipway needs Node\.js 24 or newer, this is \d+\.\d+\.\d+\nremedy: .*npm run slipway.*\n$/,
      )
      expect(stdout).toBe('')
    },
  )
})
