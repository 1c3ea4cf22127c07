// The same application in Node; it swallows what goes wrong. Run as: node app.mjs QUESTION

const response = await fetch(`${process.env.OPENAI_BASE_URL}/chat/completions`, {
  method: "POST",
  headers: {
    "content-type": "application/json",
    authorization: `Bearer ${process.env.OPENAI_API_KEY}`,
  },
  body: JSON.stringify({
    model: "gpt-4o",
    messages: [
      { role: "system", content: "Answer in one word." },
      { role: "user", content: process.argv[2] },
    ],
  }),
});
console.log(response.ok ? (await response.json()).choices[0].message.content : "no idea");
