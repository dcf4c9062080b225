using System.Diagnostics;
using System.Globalization;
using TorchSharp;
using TorchSharpPeer;

// libtorch as a peer of `disttrain bench`: answers questions of the protocol in ../README.md. Argument: the number of threads.
int threads = args.Length > 0 ? int.Parse(args[0], CultureInfo.InvariantCulture) : 1;
torch.set_num_threads(threads);
torch.random.manual_seed(1);
Console.WriteLine($"ready torchsharp {typeof(torch).Assembly.GetName().Version?.ToString(3)} ({torch.get_num_threads()} threads)");

(string text, PeerCase? body) = ("", null);
while (Console.ReadLine() is { } line)
{
    int space = line.IndexOf(' ', StringComparison.Ordinal);
    if (space < 0 || !int.TryParse(line[..space], CultureInfo.InvariantCulture, out int milliseconds))
    {
        Console.WriteLine($"error: expected MILLISECONDS CASE, found '{line}'");
        continue;
    }
    try
    {
        if (line[(space + 1)..] != text)
        {
            body?.Dispose();
            text = line[(space + 1)..];
            body = PeerCases.Open(text.Split(' '));
        }
        Console.WriteLine(body is null ? "unsupported" : Measure(body, milliseconds * 1e-3).ToString("e9", CultureInfo.InvariantCulture));
    }
    catch (Exception failure)
    {
        (text, body) = ("", null);
        Console.WriteLine($"error: {failure.Message.ReplaceLineEndings(" ")}");
    }
}

// Seconds a call: a fifth of the time to warm up and to learn how many calls fit, then one timed batch.
static double Measure(PeerCase body, double seconds)
{
    int calls = 0;
    long start = Stopwatch.GetTimestamp();
    double warm;
    do
    {
        body.Run();
        calls++;
        warm = Stopwatch.GetElapsedTime(start).TotalSeconds;
    }
    while (warm < seconds * 0.2);
    int batch = Math.Max(1, (int)(seconds * 0.8 / (warm / calls)));
    start = Stopwatch.GetTimestamp();
    for (int i = 0; i < batch; i++) body.Run();
    return Stopwatch.GetElapsedTime(start).TotalSeconds / batch;
}
