import { escapeXml, STYLE, text } from "./chart.ts";
import type { Waterfall } from "./section.ts";

const WIDTH = 640;
const LABEL_WIDTH = 110;
const VALUE_WIDTH = 90;
const BAR = 16;
const ROW = 24;
const TOP = 50;
const PLOT = WIDTH - LABEL_WIDTH - VALUE_WIDTH;

/** Formats calls as bars from their start to their end, as SVG. */
export function waterfallSvg({ title, totalMs, calls }: Waterfall): string {
  const x = (ms: number) => LABEL_WIDTH + (ms / totalMs) * PLOT;
  const height = TOP + calls.length * ROW + 34;
  const bars = calls.flatMap(({ name, start, end }, row) => {
    const y = TOP + row * ROW;
    const width = Math.max(2, x(end) - x(start)).toFixed(1);
    return [
      text(LABEL_WIDTH - 10, y + BAR - 4, name, "label end"),
      `<rect class="series-0" x="${x(start).toFixed(1)}" y="${y}" width="${width}" height="${BAR}" rx="2"/>`,
      text(x(end) + 6, y + BAR - 4, `${Math.round(start)} to ${Math.round(end)}`, "value"),
    ];
  });
  const end = [
    `<line class="target" x1="${x(totalMs)}" x2="${x(totalMs)}" y1="${TOP - 8}" y2="${height - 26}"/>`,
    text(x(totalMs), height - 10, `response after ${Math.round(totalMs)} ms`, "value end"),
  ];
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${escapeXml(title)}">
<style>${STYLE}</style>
${[text(10, 22, title, "title"), ...bars, ...end].join("\n")}
</svg>
`;
}
