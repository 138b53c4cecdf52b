/** The least that can be done with a request and its answer as JSON. */
export default {
  async fetch(request) {
    const { resources } = JSON.parse(await request.text());
    return new Response(JSON.stringify({ resources }), {
      status: 201,
      headers: { "Content-Type": "application/json; charset=utf-8" },
    });
  },
};
