using System.Buffers.Binary;
using System.Text;

namespace DistTrain.Runtime.Tests;

/// <summary>A temporary folder and safetensors files made by hand in it, from the format's description.</summary>
public abstract class SafetensorsFiles : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("disttrain-test-").FullName;

    public void Dispose()
    {
        GC.SuppressFinalize(this);
        Directory.Delete(_folder, recursive: true);
    }

    protected string Folder => _folder;

    protected string File(string name) => Path.Combine(_folder, name);

    protected string Write(byte[] bytes, string name = "test.safetensors")
    {
        System.IO.File.WriteAllBytes(File(name), bytes);
        return File(name);
    }

    protected static byte[] Make(string header, int dataByteCount) => Make(Encoding.UTF8.GetBytes(header), [.. Enumerable.Range(1, dataByteCount).Select(i => (byte)i)]);

    protected static byte[] Make(byte[] header, byte[] data)
    {
        byte[] file = new byte[8 + header.Length + data.Length];
        BinaryPrimitives.WriteInt64LittleEndian(file, header.Length);
        header.CopyTo(file, 8);
        data.CopyTo(file, 8 + header.Length);
        return file;
    }
}
