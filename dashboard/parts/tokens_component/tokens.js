// A response token by token. Text from outside is set as text and never as HTML.
//
// One token is a stop of the tab key; the arrow keys, Home and End go from token to token, and what the pointer or the focus is at is told
// under the text. Sign is shown by colour and by the line below (solid up, dotted down), size by the strength of both.

const MARKED = 0.35 // of the full strength, from which a token has a line below

const chosen = new WeakMap()

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".tokens")
  const show = (number) => {
    chosen.set(root, number)
    const focused = root.getRootNode().activeElement?.dataset.view !== undefined
    root.replaceChildren(...drawn(data, number, show))
    if (focused) root.querySelector(`[data-view="${number}"]`).focus()
  }
  root.className = `tokens ${isDark(root) ? "as-dark" : "as-light"}`
  show(Math.min(chosen.get(root) ?? 0, data.views.length - 1))
}

function isDark(root) {
  const numbers = getComputedStyle(root).color.match(/[\d.]+/g).map(Number)
  return numbers[0] + numbers[1] + numbers[2] > 384 // light ink
}

function made(tag, name, ...children) {
  const element = document.createElement(tag)
  if (name) element.className = name
  element.append(...children) // a string becomes a text node
  return element
}

function drawn(data, number, show) {
  const view = data.views[number]
  const detail = made("p", "detail soft", data.keys)
  detail.setAttribute("aria-live", "polite")
  const head = made("div", "head")
  if (data.views.length > 1) head.append(switched(data, number, show))
  head.append(scale(view))
  return [head, text(view, detail), detail, made("p", "", view.summary), ...view.notes.map((note) => made("p", "soft", note))]
}

function switched(data, number, show) {
  const group = made("div", "switch")
  group.role = "group"
  group.ariaLabel = data.choose
  data.views.forEach((view, place) => {
    const button = made("button", "", view.title)
    button.type = "button"
    button.dataset.view = place
    button.ariaPressed = String(place === number)
    button.onclick = () => show(place)
    group.append(button)
  })
  return group
}

function scale(view) {
  const entry = (sign, words) => {
    const sample = made("i", `${sign} marked`)
    sample.style.setProperty(`--${sign}`, view[sign])
    sample.style.setProperty("--strength", 1)
    return made("span", "soft", sample, words)
  }
  return made("span", "scale", entry("up", view.more), entry("down", view.less))
}

function text(view, detail) {
  const group = made("div", "text")
  group.role = "group"
  group.ariaLabel = `${view.title}. ${view.summary}`
  group.dir = "auto"
  group.style.setProperty("--up", view.up)
  group.style.setProperty("--down", view.down)
  const spans = view.tokens.map((token, place) => span(view, token, place))
  let now = -1
  const tell = (place) => {
    if (place === now) return
    if (now >= 0) spans[now].classList.remove("now")
    now = place
    spans[place].classList.add("now")
    const parts = place === view.parts_at ? `; ${view.parted}` : ""
    detail.replaceChildren(made("b", "", visible(view.tokens[place].text).trimEnd()), ` ${view.tokens[place].detail}${parts}`)
  }
  const go = (place) => {
    spans.forEach((one) => (one.tabIndex = -1))
    spans[place].tabIndex = 0
    spans[place].focus()
  }
  group.onpointerover = (event) => event.target.dataset.place && tell(Number(event.target.dataset.place))
  group.addEventListener("focusin", (event) => event.target.dataset.place && tell(Number(event.target.dataset.place)))
  group.onkeydown = (event) => {
    const at = Number(event.target.dataset.place)
    const next = { ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, Home: 0, End: spans.length - 1 }[event.key]
    if (next === undefined || !spans[next]) return
    event.preventDefault()
    go(next)
  }
  group.append(...spans)
  return group
}

function span(view, token, place) {
  const size = Math.abs(token.strength)
  const element = made("span", `token ${token.strength >= 0 ? "up" : "down"}`, visible(token.text))
  if (size >= MARKED) element.classList.add("marked")
  if (place === view.parts_at) element.classList.add("parts")
  element.style.setProperty("--strength", size.toFixed(3))
  element.dataset.place = place
  element.tabIndex = place === 0 ? 0 : -1
  element.role = "img"
  element.ariaLabel = `${token.text.trim() || visible(token.text)}: ${token.detail}${place === view.parts_at ? `; ${view.parted}` : ""}`
  return element
}

function visible(text) {
  return text === "" ? "·" : text.replaceAll("\n", "↵\n")
}
