/** For `--import` of a process: a module that changes something before the program begins. */
export function importOf(module: string): string {
  return `data:text/javascript,${encodeURIComponent(module)}`;
}
