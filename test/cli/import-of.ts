/** URL for `--import`: a module that runs before the program. */
export function importOf(module: string): string {
  return `data:text/javascript,${encodeURIComponent(module)}`;
}
