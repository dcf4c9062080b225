// Cuts the first COUNT samples of each class out of a pair of IDX files, in file order:
//   dotnet run slice-idx.cs -- SOURCE_FOLDER PREFIX COUNT DESTINATION_FOLDER
// PREFIX is train or t10k. Reads PREFIX-{images-idx3,labels-idx1}-ubyte.gz, writes the same names without .gz.
using System.Buffers.Binary;
using System.IO.Compression;

(string source, string prefix, int countPerClass, string destination) = (args[0], args[1], int.Parse(args[2]), args[3]);
byte[] images = Read("images-idx3"), labels = Read("labels-idx1");
const int ImageHeader = 16, LabelHeader = 8;
int imageByteCount = BinaryPrimitives.ReadInt32BigEndian(images.AsSpan(8)) * BinaryPrimitives.ReadInt32BigEndian(images.AsSpan(12));
using MemoryStream slicedImages = new(), slicedLabels = new();
slicedImages.SetLength(ImageHeader);
slicedLabels.SetLength(LabelHeader);
slicedImages.Position = ImageHeader;
slicedLabels.Position = LabelHeader;
int[] taken = new int[256];
for (int i = 0; i < labels.Length - LabelHeader; i++)
{
    byte label = labels[LabelHeader + i];
    if (taken[label]++ >= countPerClass) continue;
    slicedImages.Write(images, ImageHeader + (i * imageByteCount), imageByteCount);
    slicedLabels.WriteByte(label);
}
Write("images-idx3", slicedImages, images.AsSpan(0, ImageHeader));
Write("labels-idx1", slicedLabels, labels.AsSpan(0, LabelHeader));

byte[] Read(string kind)
{
    using GZipStream stream = new(File.OpenRead(Path.Combine(source, $"{prefix}-{kind}-ubyte.gz")), CompressionMode.Decompress);
    using MemoryStream bytes = new();
    stream.CopyTo(bytes);
    return bytes.ToArray();
}

void Write(string kind, MemoryStream sliced, Span<byte> header)
{
    byte[] bytes = sliced.ToArray();
    header.CopyTo(bytes);
    BinaryPrimitives.WriteInt32BigEndian(bytes.AsSpan(4), (int)(slicedLabels.Length - LabelHeader));
    File.WriteAllBytes(Path.Combine(destination, $"{prefix}-{kind}-ubyte"), bytes);
}
