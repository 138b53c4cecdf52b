/** The minimum that a Worker can do with JSON: parses the request, and returns its resources. */
export default {
  async fetch(request) {
    const { resources } = JSON.parse(await request.text());
    return new Response(JSON.stringify({ resources }), {
      status: 201,
      headers: { "Content-Type": "application/json; charset=utf-8" },
    });
  },
};
