// The dashboard without a build or a library. It reads /events by fetch, since EventSource sends no token; the
// token comes in the address's fragment, which no server and no log ever sees, and leaves the address at once.
const byId = (id) => document.getElementById(id)
const number = new Intl.NumberFormat('en')

const fragment = new URLSearchParams(location.hash.slice(1)).get('token')
if (fragment) {
  sessionStorage.setItem('token', fragment)
  history.replaceState(null, '', location.pathname)
}
const token = () => sessionStorage.getItem('token')
const headers = () => (token() ? { authorization: `Bearer ${token()}` } : {})

const show = {
  phase: ({ phase }) => {
    byId('phase').textContent = phase.replaceAll('_', ' ')
  },
  lag: (lag) => {
    show.phase(lag)
    byId('migration').textContent = lag.migration
    byId('state').textContent = lag.state
    byId('state').className = lag.state
    byId('reasons').textContent = lag.reasons.join('; ') || 'state'
    byId('lag').textContent = lag.lag_seconds === null ? '–' : `${lag.lag_seconds.toFixed(2)} s`
    byId('pending').textContent = number.format(lag.pending_changes)
    byId('position').textContent = `${lag.applied ?? '–'} / ${lag.head ?? '–'}`
    byId('authority').textContent = lag.authority
    document.title = `${lag.phase} · ${lag.pending_changes} to apply · slipway`
  },
  progress: ({ tables }) => byId('tables').replaceChildren(...tables.map(row)),
}

function row(table) {
  const bar = document.createElement('progress')
  bar.max = Math.max(table.rows_expected, table.rows_copied, 1)
  bar.value = table.state === 'copied' ? bar.max : table.rows_copied
  bar.title = table.state
  const rows = `${number.format(table.rows_copied)} / ${number.format(table.rows_expected)}`
  const rate = table.rows_per_second === null ? '' : number.format(table.rows_per_second)
  const left = table.eta_seconds === null || table.state === 'copied' ? '' : `${table.eta_seconds} s`
  const name = table.target === table.table ? table.table : `${table.table} → ${table.target}`
  const line = document.createElement('tr')
  for (const [content, kind] of [[name], [bar], [rows, 'number'], [rate, 'number'], [left, 'number']]) {
    const cell = document.createElement('td')
    cell.append(content)
    if (kind) cell.className = kind
    line.append(cell)
  }
  return line
}

function connection(text, lost) {
  byId('connection').textContent = text
  byId('connection').className = lost ? 'lost' : ''
}

async function follow() {
  const answer = await fetch('events', { headers: { accept: 'text/event-stream', ...headers() } })
  byId('login').hidden = answer.status !== 401
  byId('actions').hidden = !answer.ok || !token()
  if (!answer.ok) throw new Error((await answer.json()).detail)
  connection('live', false)
  let text = ''
  for await (const chunk of answer.body.pipeThrough(new TextDecoderStream())) {
    text += chunk
    const events = text.split('\n\n')
    text = events.pop()
    for (const event of events) receive(event)
  }
}

function receive(event) {
  const fields = Object.fromEntries(event.split('\n').map((line) => line.split(/: (.*)/s)))
  if (fields.data) show[fields.event]?.(JSON.parse(fields.data))
}

async function command(path, body) {
  const options = { method: 'POST', headers: { ...headers(), 'content-type': 'application/json' } }
  try {
    const answer = await fetch(path, body ? { ...options, body: JSON.stringify(body) } : options)
    const result = await answer.json()
    byId('answer').textContent = answer.ok ? 'done' : `${result.detail} ${result.remedy}`
    if (answer.ok) show.lag(result)
  } catch (error) {
    byId('answer').textContent = error.message
  }
}

byId('pause').addEventListener('click', () => {
  const reason = prompt('Why? Everybody who looks here will read it.')
  if (reason) void command('replication/pause', { reason })
})
byId('resume').addEventListener('click', () => void command('replication/resume'))
byId('login').addEventListener('submit', (event) => {
  event.preventDefault()
  sessionStorage.setItem('token', byId('token').value)
  location.reload()
})

for (;;) {
  await follow().catch((error) => connection(error.message, true))
  if (!byId('login').hidden) break
  await new Promise((resolve) => setTimeout(resolve, 2000))
  connection('not connected, trying again', true)
}
