// Prompts in a list, and the answers to one of them beside it; or the answers alone.
//
// Text from outside is set as text and never as HTML. What is chosen goes to Python as the trigger `go`: {prompt} opens a prompt,
// {place} the one at a place of the whole order, {page, prompt} turns the page of the list, {close} goes back to the list,
// {marks} says whether answers are marked: "all", "none", or "" for those that share most of their words.

const NARROW = 640 // pixels of this component; as in the style sheet
const PAUSE = 140 // milliseconds without another key before Python is asked for a prompt
const views = new WeakMap()
const drawn = new WeakMap() // what an element shows

export default function (component) {
  const root = component.parentElement.querySelector(".answers")
  if (!views.has(root)) views.set(root, new View(root))
  const view = views.get(root)
  view.show(component)
  return () => view.end()
}

function made(tag, name, ...children) {
  const element = document.createElement(tag)
  if (name) element.className = name
  element.append(...children.filter((child) => child !== null && child !== undefined)) // a string becomes a text node
  return element
}

function theirs(tag, name, text) {
  const element = made(tag, `theirs ${name}`, text)
  element.dir = "auto"
  return element
}

// Light what was searched for in the texts of an element, in whatever case it is written, also where it goes on from one mark to the next.
function lit(element, search) {
  if (!search) return element
  const pattern = new RegExp(search.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&"), "giu")
  for (const text of element.querySelectorAll(".theirs.prompt, h2.theirs, p.theirs, .read.theirs")) {
    const hits = [...text.textContent.matchAll(pattern)].map((hit) => [hit.index, hit.index + hit[0].length])
    const walker = document.createTreeWalker(text, NodeFilter.SHOW_TEXT)
    const nodes = []
    while (walker.nextNode()) nodes.push(walker.currentNode)
    let start = 0 // of the node, in the whole text
    for (const node of nodes) {
      const own = hits.map((ends) => ends.map((end) => Math.min(Math.max(end - start, 0), node.length))).filter(([from, to]) => from < to)
      start += node.length
      let shown = 0
      const parts = []
      for (const [from, to] of own) {
        parts.push(node.data.slice(shown, from), made("span", "hit", node.data.slice(from, to)))
        shown = to
      }
      if (own.length) node.replaceWith(...parts, node.data.slice(shown))
    }
  }
  return element
}

function button(label, key, act) {
  const element = made("button", "", label, key ? made("kbd", "", key) : null)
  element.type = "button"
  element.onclick = act
  return element
}

// A bar from the middle: to the right for tuned, to the left for base; share from −1 to 1, null draws nothing.
function bar(share) {
  const element = made("span", "bar")
  element.ariaHidden = "true"
  if (share) {
    const filled = made("i", share > 0 ? "tuned" : "base")
    const width = Math.max(Math.abs(share) * 50, 1)
    filled.style.width = `${width}%`
    filled.style.left = `${share > 0 ? 50 : 50 - width}%`
    element.append(filled)
  }
  return element
}

class View {
  constructor(root) {
    this.root = root
    this.details = new Map() // by prompt: those that came, so that going back and forth waits for nobody
    this.marks = undefined // until the first data say how to begin; null leaves it to how alike two answers are
    this.press = (event) => this.key(event)
    document.addEventListener("keydown", this.press)
  }

  end() {
    document.removeEventListener("keydown", this.press)
    clearTimeout(this.waiting)
    views.delete(this.root)
  }

  show({ data, setTriggerValue }) {
    this.words = data.words
    if (this.given !== data.marks) {
      if (this.marks !== data.marks) this.reading = undefined // it is drawn anew
      this.marks = this.given = data.marks
    }
    this.brief = Boolean(data.brief)
    this.go = (where) => setTriggerValue("go", where)
    this.list = data.list
    if (!this.list) {
      if (this.alone === JSON.stringify(data)) return
      this.alone = JSON.stringify(data)
      this.root.replaceChildren(made("div", "frame", this.article(data.details[0])))
      return
    }
    if (this.asked !== this.list.asked) this.details.clear()
    for (const detail of data.details) {
      const known = this.details.get(detail.id) // the same stays as it stands: with what is folded out and what is selected in it
      if (JSON.stringify(known) !== JSON.stringify(detail)) this.details.set(detail.id, detail)
    }
    if (this.frame === undefined) this.build()
    const first = this.asked === undefined
    const turned = this.asked !== this.list.asked || this.first !== this.list.first
    if (this.asked !== this.list.asked || this.sent === this.list.prompt) this.sent = undefined
    this.asked = this.list.asked
    this.first = this.list.first
    if (turned) this.fill()
    if (first) this.frame.classList.toggle("reading", this.list.opened)
    const kept = !turned && !this.list.opened && this.rowOf(this.marked) // back in the list, the row stays marked
    if (!this.waiting && !kept) this.mark(this.sent ?? this.list.prompt, turned) // an answer to an earlier press says nothing of the last one
    this.read(this.marked)
    if (first && this.list.opened && this.narrow()) this.place.scrollIntoView({ block: "start" }) // a link to a prompt leads to it
  }

  // The frame that stays: list with pages at the left, the article at the right.
  build() {
    this.rows = made("ul", "list")
    this.rows.role = "listbox"
    this.rows.tabIndex = 0
    this.rows.ariaLabel = this.words.prompts
    this.rows.onclick = (event) => {
      const row = event.target.closest(".row")
      if (row) this.open(row.dataset.prompt, 0)
    }
    this.pages = made("div", "tools pages soft")
    this.place = made("div", "place")
    this.frame = made("div", "frame with-list", made("div", "side", this.rows, this.pages), this.place)
    this.root.replaceChildren(this.frame)
  }

  fill() {
    const { rows, first, total, size } = this.list
    this.rows.replaceChildren(...rows.map((row, number) => lit(this.row(row, number), this.list.found)))
    this.rows.classList.toggle("plain", rows.every((row) => row.share === null)) // nothing is compared: no column of bars
    this.rows.scrollTop = 0
    if (!rows.length) this.rows.append(made("li", "nothing soft", this.words.nothing))
    const page = Math.floor(first / size)
    const before = button("‹", "", () => this.page(page))
    const after = button("›", "", () => this.page(page + 2))
    before.disabled = first === 0
    after.disabled = first + rows.length >= total
    before.ariaLabel = this.words.before
    after.ariaLabel = this.words.after
    const turn = total > size ? [before, made("span", "", this.list.range), after] : [made("span", "", this.list.range)]
    this.pages.replaceChildren(...turn)
  }

  row({ prompt, text, about, difference, share, flags }, number) {
    const element = made(
      "li", "row", theirs("span", "prompt", text), bar(share), made("span", "number", difference),
      made("span", "about soft", theirs("span", "", about), ...flags.map((flag) => made("span", "flag", flag))),
    )
    element.role = "option"
    element.id = `row-${number}`
    element.dataset.prompt = prompt
    element.ariaSelected = "false"
    return element
  }

  // Mark the row of a prompt and bring it into the list's window.
  mark(prompt, jump) {
    this.marked = prompt
    for (const row of this.rows.querySelectorAll('[aria-selected="true"]')) row.ariaSelected = "false"
    const row = this.rowOf(prompt)
    if (!row) {
      this.rows.removeAttribute("aria-activedescendant")
      return
    }
    row.ariaSelected = "true"
    this.rows.setAttribute("aria-activedescendant", row.id)
    const top = row.offsetTop - this.rows.offsetTop
    const room = this.rows.clientHeight
    if (jump || top < this.rows.scrollTop || top + row.offsetHeight > this.rows.scrollTop + room)
      this.rows.scrollTop = jump ? top - room / 3 : Math.min(Math.max(this.rows.scrollTop, top + row.offsetHeight - room), top)
    if (this.narrow() && this.root.getRootNode().activeElement === this.rows) row.scrollIntoView({ block: "nearest" })
  }

  rowOf(prompt) {
    return [...this.rows.querySelectorAll(".row")].find((row) => row.dataset.prompt === prompt)
  }

  // Show the article of a prompt: at once when it has come already.
  read(prompt) {
    const detail = this.details.get(prompt)
    if (detail && detail !== this.reading) this.place.replaceChildren(lit(this.article(detail), this.list.found))
    if (!detail && !this.waiting) this.place.replaceChildren()
    this.reading = detail
  }

  open(prompt, pause = PAUSE) {
    this.mark(prompt, false)
    this.frame.classList.add("reading")
    this.ask({ prompt }, pause)
    this.read(prompt)
    if (this.place.getBoundingClientRect().top < 0 || this.narrow()) this.place.scrollIntoView({ block: "start" })
  }

  ask(where, pause) {
    clearTimeout(this.waiting)
    this.waiting = setTimeout(() => {
      this.waiting = undefined
      this.sent = where.prompt
      this.go(where)
    }, pause)
  }

  // Another page of the list. It takes the prompt along that was opened last, whose own message it may overtake.
  page(page) {
    clearTimeout(this.waiting)
    this.waiting = undefined
    this.sent = this.frame.classList.contains("reading") ? this.marked : undefined
    this.go({ page, prompt: this.sent })
  }

  // One further or back, over the end of a page too.
  step(by) {
    const rows = [...this.rows.querySelectorAll(".row")]
    const here = rows.findIndex((row) => row.dataset.prompt === this.marked)
    const next = here < 0 ? (by > 0 ? 0 : -1) : here + by
    const listed = this.narrow() && !this.frame.classList.contains("reading")
    if (rows[next]) return listed ? this.mark(rows[next].dataset.prompt, false) : this.open(rows[next].dataset.prompt)
    const place = this.list.first + next
    if (here >= 0 && place >= 0 && place < this.list.total) this.ask({ place }, PAUSE)
  }

  back() {
    this.frame.classList.remove("reading")
    this.sent = undefined
    this.rows.focus({ preventScroll: true })
    this.rowOf(this.marked)?.scrollIntoView({ block: "center" })
    this.go({ close: true })
  }

  narrow() {
    return this.root.clientWidth <= NARROW
  }

  key(event) {
    const inside = event.composedPath()
    const target = inside[0]
    const typing = target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName)
    if (!this.list || typing || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("[role=dialog]")) return
    const listed = inside.includes(this.rows)
    const act = {
      j: () => this.step(1),
      k: () => this.step(-1),
      "/": () => document.querySelector(this.list.search)?.focus(),
      ...(listed ? { ArrowDown: () => this.step(1), ArrowUp: () => this.step(-1), Enter: () => this.enter() } : {}),
      ...(this.narrow() && this.frame.classList.contains("reading") ? { Escape: () => this.back() } : {}),
      ...(!this.narrow() && inside.includes(this.place) ? { Escape: () => this.rows.focus() } : {}),
    }[event.key.length === 1 ? event.key.toLowerCase() : event.key]
    if (!act) return
    event.preventDefault()
    act()
  }

  enter() {
    if (!this.marked) return
    this.open(this.marked, 0)
    this.place.querySelector("article")?.focus({ preventScroll: true })
  }

  // Everything about one prompt.
  article(detail) {
    const element = made("article", this.brief ? "brief" : "")
    element.tabIndex = -1
    element.append(
      ...(this.list ? [this.tools(detail, element)] : []),
      ...detail.turns.map((turn, number) => this.turn(turn, number === detail.turns.length - 1)),
      ...(detail.scores.length ? [this.scores(detail)] : []),
      ...(detail.sides.answers.length ? [this.sides(detail.sides)] : []),
      ...detail.folds.map((fold) => this.fold(fold)),
      ...(this.list || this.brief ? [] : [this.more(element)]),
    )
    if (!this.list && !this.brief && detail.sides.answers.length > 1)
      element.prepend(made("div", "tools", made("span", "gap"), this.switched(detail, element)))
    return element
  }

  tools(detail, article) {
    const back = button(this.words.list, "", () => this.back())
    back.className = "back"
    const up = button("↑", "K", () => this.step(-1))
    const down = button("↓", "J", () => this.step(1))
    up.ariaLabel = this.words.previous
    down.ariaLabel = this.words.next
    const copy = button(this.words.copy, "", () => this.copy(detail.id, copy))
    const where = made("b", "", detail.place)
    where.ariaLive = "polite"
    return made("div", "tools", back, up, down, where, theirs("span", "soft", detail.about), made("span", "gap"), copy, this.switched(detail, article))
  }

  // Whether answers are marked: all, none, or, when what is right for this pair is pressed, those that share most words.
  switched({ sides }, article) {
    const choices = [[sides.alike ? this.words.differences : this.words.common, true], [this.words.plain, false]]
    const buttons = choices.map(([label, wanted]) => button(label, "", () => set(wanted === sides.alike ? null : wanted ? "all" : "none")))
    const show = () => buttons.forEach((element, number) => (element.ariaPressed = String(choices[number][1] === this.marking(sides))))
    const set = (marks) => {
      this.marks = marks
      for (const element of article.querySelectorAll(".compared")) element.classList.toggle("marked", this.marking(drawn.get(element)))
      show()
      if (this.list) this.go({ marks: marks ?? "" })
    }
    show()
    const element = made("span", "switch", ...buttons)
    element.role = "group"
    return element
  }

  async copy(prompt, pressed) {
    const url = new URL(location.href)
    url.searchParams.set("prompt", prompt)
    try {
      await navigator.clipboard.writeText(url.href)
    } catch {
      const field = made("textarea", "told", url.href) // where a page that is not encrypted has no clipboard
      this.root.append(field)
      field.select()
      document.execCommand("copy")
      field.remove()
    }
    pressed.textContent = this.words.copied
    setTimeout(() => (pressed.textContent = this.words.copy), 1500)
  }

  // A button that folds long texts out, and in again; there where a text is cut.
  more(article) {
    const more = button("", "", () => {
      this.all = !this.all
      set()
    })
    more.className = "more"
    const set = () => {
      article.classList.add("cut")
      const texts = [...article.querySelectorAll("h2, .turn p, .read")]
      more.hidden = !texts.some((text) => text.scrollHeight > text.clientHeight + 1)
      article.classList.toggle("cut", !this.all)
      more.textContent = this.all ? this.words.less : this.words.all
      more.ariaExpanded = String(Boolean(this.all))
    }
    new ResizeObserver(set).observe(article)
    return more
  }

  turn({ role, text }, last) {
    const long = text.length > 180 ? " long" : ""
    return made("div", "turn", role ? made("div", "soft", role) : null, last ? theirs("h2", long, text) : theirs("p", "", text))
  }

  scores({ scores, heads, rounding }) {
    const cells = [["", heads.scorer], ["name base", heads.base], ["name tuned", heads.tuned], ["", heads.difference], ["scale", heads.bar]]
    const head = made("tr", "", ...cells.map(([name, text]) => made("th", name, text)))
    head.lastChild.title = heads.about_bar
    const body = scores.map((score, number) =>
      made(
        "tr", "", theirs("td", "", score.scorer), made("td", "", score.base), made("td", "", score.tuned),
        made("td", number ? "" : "main", score.difference), made("td", "scale", bar(score.share)),
      ),
    )
    const table = made("div", "scores", made("table", "", made("thead", "", head), made("tbody", "", ...body)))
    return made("div", "", table, rounding ? made("p", "rounding soft", rounding) : null)
  }

  // Whether two answers are marked: where they differ, or, when they share few words, where they do not.
  marking({ alike }) {
    return !this.brief && (this.marks ? this.marks === "all" : alike)
  }

  // Answers beside each other, and what is marked of them or why it is not.
  sides(sides) {
    const about = sides.about.map((text, marked) => (text ? made("p", `${marked ? "what" : "why"} soft`, text) : null))
    const element = made("div", "compared", ...about, made("div", "sides", ...sides.answers.map((side) => this.side(side))))
    element.classList.toggle("common", !sides.alike)
    element.classList.toggle("marked", this.marking(sides))
    drawn.set(element, sides)
    return element
  }

  side({ role, title, by, reward, facts, flags, pieces }) {
    const told = made("span", "facts soft", ...facts.map((fact) => made("span", "", fact)), ...flags.map((flag) => made("span", "flag", flag)))
    const value = reward ? made("span", "value", reward) : null
    const text = theirs("div", "read", "")
    for (const [piece, marked] of pieces) text.append(marked ? made("mark", "", piece) : piece)
    return made("div", `answer ${role}`, made("div", "head", made("span", "", made("b", "name", title), " ", theirs("span", "soft", by)), told, value), text)
  }

  fold({ title, sides, about }) {
    const parts = title.map(([role, text]) => made("span", role ? `name ${role}` : "soft", text, " "))
    return made("details", "", made("summary", "", ...parts, about ? theirs("span", "soft", about) : null), this.sides(sides))
  }
}
