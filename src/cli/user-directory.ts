/** The directory that the user's paths start from: `npm run` changes to the project's and tells the user's own. */
export function userDirectory(): string {
  const { npm_lifecycle_event: script, INIT_CWD: initial } = process.env;
  return script === "resource-pool" && initial ? initial : process.cwd();
}
