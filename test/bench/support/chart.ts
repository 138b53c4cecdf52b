import type { Chart } from "./section.ts";

const WIDTH = 640;
const LABEL_WIDTH = 150;
const VALUE_WIDTH = 70;
const BAR = 16;
const GAP = 3;
const GROUP_GAP = 14;
const TOP = 64;
const PLOT = WIDTH - LABEL_WIDTH - VALUE_WIDTH;

/** Formats a chart with horizontal bars as SVG, for light and dark pages. */
export function toSvg({ title, unit, series, groups, target }: Chart): string {
  const maximum = Math.max(target ?? 0, ...groups.flatMap(({ values }) => values));
  const x = (value: number) => LABEL_WIDTH + (value / maximum) * PLOT;
  const groupHeight = series.length * (BAR + GAP) + GROUP_GAP;
  const height = TOP + groups.length * groupHeight + 10;

  const bars = groups.flatMap(({ label, values }, group) => {
    const top = TOP + group * groupHeight;
    const middle = top + (series.length * (BAR + GAP) - GAP) / 2;
    return [
      text(LABEL_WIDTH - 10, middle + 4, label, "label end"),
      ...values.flatMap((value, index) => {
        const y = top + index * (BAR + GAP);
        const width = Math.max(1, x(value) - LABEL_WIDTH).toFixed(1);
        return [
          `<rect class="series-${index}" x="${LABEL_WIDTH}" y="${y}" width="${width}" height="${BAR}" rx="2"/>`,
          text(x(value) + 6, y + BAR - 4, `${value}`, "value"),
        ];
      }),
    ];
  });
  const limit =
    target === undefined
      ? []
      : [
          `<line class="target" x1="${x(target)}" x2="${x(target)}" y1="${TOP - 6}" y2="${height - 16}"/>`,
          text(x(target) - 5, TOP - 10, `at max ${target} ${unit}`, "value end"),
        ];
  const legend = series.length === 1 ? [] : series.flatMap((name, index) => formatLegendEntry(name, index));
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${escapeXml(title)}">
<style>${STYLE}</style>
${[text(10, 22, `${title}, ${unit}`, "title"), ...legend, ...bars, ...limit].join("\n")}
</svg>
`;
}

// No background, so that the page shows through. GitHub and browsers support prefers-color-scheme in images.
export const STYLE = `
text { font: 12px system-ui, sans-serif; fill: #24292f }
.title { font-size: 14px; font-weight: 600 }
.value { fill: #57606a }
.end { text-anchor: end }
.series-0 { fill: #0969da } .series-1 { fill: #8c959f } .series-2 { fill: #bf8700 }
.target { stroke: #cf222e; stroke-width: 1.5; stroke-dasharray: 4 3 }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .value { fill: #9da7b3 }
.series-0 { fill: #4493f8 } .series-1 { fill: #6e7681 } .series-2 { fill: #d29922 }
.target { stroke: #f85149 }
}
`;

function formatLegendEntry(name: string, index: number): string[] {
  const left = LABEL_WIDTH + index * 110;
  return [
    `<rect class="series-${index}" x="${left}" y="36" width="12" height="12" rx="2"/>`,
    text(left + 18, 46, name, "value"),
  ];
}

export function text(x: number, y: number, content: string, classes: string): string {
  return `<text class="${classes}" x="${x.toFixed(1)}" y="${y.toFixed(1)}">${escapeXml(content)}</text>`;
}

export function escapeXml(content: string): string {
  return content.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");
}
