using System.Globalization;
using DistTrain.RemoteStorage;

// Serves one file under many names until the standard input ends, for benchmarks. Says its address first.
if (args is not [string path, string names, string delay, string rate])
{
    Console.Error.WriteLine("Usage: DistTrain.RemoteStorage FILE NAMES FIRST-BYTE-MILLISECONDS BYTES-PER-SECOND      (serves FILE as 000, 001, ...; the rate is each name's own)");
    return 2;
}
byte[] content = File.ReadAllBytes(path);
await using StorageServer server = await StorageServer.StartAsync();
for (int i = 0; i < int.Parse(names, CultureInfo.InvariantCulture); i++)
{
    server.Put(i.ToString("000", CultureInfo.InvariantCulture), new StoredFile(content)
    {
        FirstByteDelay = TimeSpan.FromMilliseconds(double.Parse(delay, CultureInfo.InvariantCulture)),
        BytesPerSecond = double.Parse(rate, CultureInfo.InvariantCulture),
    });
}
Console.WriteLine(server.Address);
Console.In.ReadToEnd();
return 0;
