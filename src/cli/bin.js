#!/usr/bin/env node
// Plain JavaScript, and old JavaScript: it must be understood by a Node that is too old for the rest (trap R1),
// so it checks the version before it loads anything.
const OLDEST = 24

if (Number(process.versions.node.split('.')[0]) < OLDEST) {
  process.stderr.write(
    'error: slipway needs Node.js ' +
      OLDEST +
      ' or newer, this is ' +
      process.versions.node +
      '\n' +
      'remedy: run it through npm (npm run slipway -- COMMAND), which brings its own Node, or install Node.js ' +
      OLDEST +
      ' or newer\n',
  )
  process.exitCode = 2
} else {
  // Node does not strip types below node_modules: there the build runs.
  const packaged = /[\\/]node_modules[\\/]/.test(decodeURIComponent(import.meta.url))
  void import(packaged ? '../../dist/src/main.js' : '../main.ts')
    .then((main) => main.main(process.argv))
    .then(
      (code) => {
        process.exitCode = code
      },
      (error) => {
        console.error(error)
        process.exitCode = 1
      },
    )
    .then(() => {
      // All is done: whatever still holds the process is a leftover and gets no more than a moment.
      setTimeout(() => {
        process.exit()
      }, 2000).unref()
    })
}
