// One cross-hair over several figures: where the pointer reads one figure, the others are read at the same x.
//
// Each figure shows its own values at a place of the pointer, so the others are told that the pointer is there, at the same value of x.

export default function ({ data }) {
  const known = new Set()
  let pointed // the figure under the pointer: what the others show in answer goes no further

  const others = (plot) => [...known].filter((other) => other !== plot && other.isConnected)
  const read = (plot, event) => {
    if (plot === pointed) others(plot).forEach((other) => at(other, event.xvals?.[0] ?? event.points[0].x))
  }
  const leave = (plot) => {
    if (plot === pointed) others(plot).forEach(out)
  }
  const look = () => {
    for (const plot of document.querySelectorAll(`.st-key-${data.within} .js-plotly-plot`)) {
      if (known.has(plot) || !plot.on) continue
      known.add(plot)
      plot.addEventListener("pointerenter", () => (pointed = plot))
      plot.on("plotly_hover", (event) => read(plot, event))
      plot.on("plotly_unhover", () => leave(plot))
    }
  }
  const drawn = new MutationObserver(look)
  drawn.observe(document.body, { childList: true, subtree: true })
  look()
  return () => drawn.disconnect()
}

function at(plot, x) {
  const area = plot.querySelector(".nsewdrag")
  const axis = (plot.data?.[0]?.xaxis ?? "x").replace("x", "xaxis")
  const [low, high] = plot._fullLayout?.[axis]?.range ?? []
  if (!area || !(low <= x && x <= high)) return out(plot)
  const box = area.getBoundingClientRect()
  tell(area, "mousemove", box.left + (box.width * (x - low)) / (high - low), box.top + box.height / 2)
}

function out(plot) {
  const area = plot.querySelector(".nsewdrag")
  if (area) tell(area, "mouseout", 0, 0)
}

function tell(area, what, clientX, clientY) {
  area.dispatchEvent(new MouseEvent(what, { clientX, clientY, bubbles: true }))
}
